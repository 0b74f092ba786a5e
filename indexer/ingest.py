"""The story of one document: read, cut into chunks, embed, save. Told for a few documents at a time.

Every line may be repeated after a crash: nothing is visible before the one transaction that saves.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Protocol

import numpy as np

from corpus.chunks import ParsedDocument, embedded_text
from corpus.database import Database
from corpus.embedding import Embedder
from corpus.errors import CorpusError, DocumentError, EmptyDocument
from corpus.models import Document, DocumentVersion
from corpus.originals import Originals
from indexer.chunking import split_into_chunks
from indexer.claims import Failure, Work, claim_batch, record_failure, with_present_title
from indexer.deletion import drop_originals
from indexer.jobs import begin_job, finish_job
from indexer.saving import (
    CutDocument,
    IndexedDocument,
    Outdated,
    Vectors,
    kept_document,
    save_documents,
    save_texts,
)
from indexer.storable import storable
from indexer.targets import FindEmbedder, Plan, read_plan
from indexer.turns import Turns
from indexer.uploads import EXACT_TEXT, LONGEST_TITLE

_log = logging.getLogger(__name__)
_PASSAGES_AT_ONCE = 32  # passages a turn: about as long as urgent work has to wait
_CHUNKS_AT_ONCE = 256  # chunks a transaction, and those that a crash makes us embed again
_NAP_S = 0.2


class Parser(Protocol):
    """Reads bytes as text; in the service a pool of processes that can be killed."""

    def parse(self, data: bytes, *, filename: str | None, media_type: str | None = None) -> ParsedDocument:
        """Return the text and structure of a document.

        Raises:
            DocumentError: it can not be read, ever; the message says why.
        """


@dataclass(frozen=True, slots=True)
class Workbench:
    """What taking in documents needs. `pause` is called between documents and may raise to stop there."""

    database: Database
    originals: Originals
    parser: Parser
    find_embedder: FindEmbedder
    turns: Turns
    pause: Callable[[], None] = lambda: None


def ingest_next(bench: Workbench, job_id: str, *, urgent: bool = False) -> bool:
    """Take in the next few documents of a job; False: the job has ended, or waits for its client."""
    with bench.database.write() as session:
        works = claim_batch(session, job_id) if begin_job(session, job_id) else None
    if works is None:
        return False
    if not works:
        with bench.database.write() as session:
            ended = finish_job(session, job_id)
        if not ended:
            time.sleep(_NAP_S)  # only documents that failed a moment ago are left
        return not ended
    for documents in _in_portions(_read_and_cut(bench, works)):
        _index(bench, documents, urgent=urgent)
        bench.pause()
    return True


def _read_and_cut(bench: Workbench, works: Sequence[Work]) -> Iterator[CutDocument]:
    """Yield what can be read; note what can not."""
    plans = _Plans(bench)
    for work in works:
        try:
            plan = plans.of(work.collection_id)
            cut = cut_document(work, _read(bench, work), plan)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other documents go on
            _fail(bench, work, error)
        else:
            yield cut
        bench.pause()


def _cut_again(bench: Workbench, documents: Sequence[CutDocument]) -> list[CutDocument]:
    """Cut documents for what serves now, under their titles of now."""
    plans = _Plans(bench)
    again = []
    for document in documents:
        work = document.work
        try:
            with bench.database.read() as session:
                work = with_present_title(session, work)
            again.append(cut_document(work, document.parsed, plans.of(work.collection_id)))
        except Exception as error:  # noqa: BLE001 - whatever it is, the other documents go on
            _fail(bench, work, error)
        bench.pause()
    return again


class _Plans:
    """The plans of the collections that a batch belongs to, each read when it is first needed."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._known: dict[str, Plan] = {}

    def of(self, collection_id: str) -> Plan:
        """Return a collection's plan."""
        if collection_id not in self._known:
            with self._bench.database.read() as session:
                self._known[collection_id] = read_plan(session, collection_id, self._bench.find_embedder)
        return self._known[collection_id]


def _read(bench: Workbench, work: Work) -> ParsedDocument:
    kept = _kept_text(bench.database, work) if work.of_kept_text else None
    return kept or read_document(work, bench.originals, bench.parser)


def _kept_text(database: Database, work: Work) -> ParsedDocument | None:
    """Return what was read of the version that readers see; None: it is gone, or was never read."""
    with database.read() as session:
        version = session.get(DocumentVersion, (work.document_id, work.version))
        document = session.get(Document, work.document_id)
        if version is None or document is None or version.state != "current" or version.text is None:
            return None
        return kept_document(version, document.media_type)


def read_document(work: Work, originals: Originals, parser: Parser) -> ParsedDocument:
    """Return the document's text, exactly as it will be served, and its structure.

    Raises:
        DocumentError: it can not be read, ever.
        FileNotFoundError: its bytes are not in the originals.
    """
    data = originals.read(work.sha256)
    if work.media_type == EXACT_TEXT:
        parsed = ParsedDocument(text=data.decode(), media_type="text/plain")
    else:
        parsed = parser.parse(data, filename=work.filename, media_type=work.media_type)
    if not parsed.text.strip():
        raise EmptyDocument("The document has no text; send one that does.")
    return replace(
        parsed,
        text=storable(parsed.text),
        title=storable(parsed.title) if parsed.title else None,
        headings=tuple(replace(heading, title=storable(heading.title)) for heading in parsed.headings),
    )


def cut_document(work: Work, parsed: ParsedDocument, plan: Plan) -> CutDocument:
    """Cut the text in every way that the collection's generations need."""
    title = _title(work, parsed)
    chunks = {}
    for target in plan.targets:
        chunking = target.chunking
        if chunking.key not in chunks:
            chunks[chunking.key] = split_into_chunks(
                parsed,
                title=title,
                token_spans=plan.cutter(chunking).token_spans,
                max_tokens=chunking.max_tokens,
                overlap=chunking.overlap,
            )
    if not chunks[plan.active.chunking.key]:
        raise EmptyDocument("The document has no text; send one that does.")
    return CutDocument(work, title, parsed, chunks, plan)


def _title(work: Work, parsed: ParsedDocument) -> str:
    stem = PurePath(work.filename).stem if work.filename else ""
    title = work.title or (parsed.title or "").strip() or stem or work.external_id or "Untitled"
    return title[:LONGEST_TITLE]


def _in_portions(documents: Iterable[CutDocument]) -> Iterator[list[CutDocument]]:
    """Gather documents until they have enough chunks for one transaction."""
    portion: list[CutDocument] = []
    chunks = 0
    for document in documents:
        portion.append(document)
        chunks += sum(len(spans) for spans in document.chunks.values())
        if chunks >= _CHUNKS_AT_ONCE:
            yield portion
            portion, chunks = [], 0
    if portion:
        yield portion


def _index(bench: Workbench, documents: Sequence[CutDocument], *, urgent: bool) -> None:
    """Embed and save documents together; if that fails, each alone.

    While the embedder is busy, what is urgent can be found by its words already.
    """
    if not documents:
        return
    try:
        if urgent and bench.turns.taken:
            with bench.database.write() as session:
                save_texts(session, documents)
        indexed = _embed(bench, documents, urgent=urgent)
        with bench.database.write() as session:
            replaced = save_documents(session, indexed)
    except Outdated:
        _index(bench, _cut_again(bench, documents), urgent=urgent)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other documents go on
        if len(documents) == 1:
            _fail(bench, documents[0].work, error)
            return
        for document in documents:
            _index(bench, [document], urgent=urgent)
    else:
        drop_originals(bench.database, bench.originals, replaced)


def _embed(bench: Workbench, documents: Sequence[CutDocument], *, urgent: bool) -> list[IndexedDocument]:
    """Embed the chunks of all documents together, for each target."""
    vectors: list[dict[tuple[str, str], Vectors]] = [{} for _ in documents]
    for target in dict.fromkeys(target for document in documents for target in document.plan.targets):
        key = target.chunking.key
        wanting = [index for index, document in enumerate(documents) if target in document.plan.targets]
        texts = [
            embedded_text(documents[index].title, span.heading_path, span.text)
            for index in wanting
            for span in documents[index].chunks[key]
        ]
        embedded = embed_in_turns(target.embedder, texts, bench.turns, urgent=urgent, pause=bench.pause)
        ends = np.cumsum([len(documents[index].chunks[key]) for index in wanting])
        for index, part in zip(wanting, np.split(embedded, ends[:-1]), strict=True):
            vectors[index][key, target.embedder.id] = part
    return [IndexedDocument(document, own) for document, own in zip(documents, vectors, strict=True)]


def embed_in_turns(
    embedder: Embedder, texts: Sequence[str], turns: Turns, *, urgent: bool, pause: Callable[[], None]
) -> Vectors:
    """Embed passages, shortest first, giving up the embedder every now and then to what is urgent.

    Returns:
        One unit vector a text, in the order of the texts, shape (len(texts), embedder.dimension).
    """
    vectors = np.empty((len(texts), embedder.dimension), dtype=np.float32)
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    for start in range(0, len(order), _PASSAGES_AT_ONCE):
        some = order[start : start + _PASSAGES_AT_ONCE]
        with turns.turn(urgent=urgent):
            vectors[some] = embedder.embed_passages([texts[index] for index in some])
        pause()
    return vectors


def _fail(bench: Workbench, work: Work, error: Exception) -> None:
    """Note why a document could not be read; only its own faults are permanent."""
    bench.pause()  # while the worker stops, its tools are taken away: that is no fault of the document
    permanent = isinstance(error, DocumentError)
    reason = str(error) if isinstance(error, CorpusError) else f"{type(error).__name__}: {error}"
    with bench.database.write() as session:
        matters = record_failure(session, Failure(work, reason, permanent))
    if matters and not permanent:
        _log.warning("document %s could not be read", work.document_id, exc_info=error)
