"""What a new generation must find before it may serve: documents of questions that are known."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from sqlalchemy import select

from corpus.database import Database
from corpus.embedding import Embedder
from corpus.errors import FindsTooLittle, InvalidRequest
from corpus.models import Chunk, Document
from corpus.vector_index.faiss_index import FaissVectorIndex
from corpus.vector_index.generation_files import load_base

DEPTH = 10
MOST_QUESTIONS = 1000
_CANDIDATES = 100  # vectors a question; several may be of one document


@dataclass(frozen=True, slots=True)
class TrialQuestion:
    """A question, and the external ids of the documents that answer it."""

    text: str
    documents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """Questions, and the least recall@10 over them: the mean share of documents that are found."""

    questions: tuple[TrialQuestion, ...]
    least_recall: float

    def __post_init__(self) -> None:
        if not 0 < len(self.questions) <= MOST_QUESTIONS:
            raise InvalidRequest(
                f"An evaluation has 1 to {MOST_QUESTIONS} questions with documents, "
                f"not {len(self.questions)}; give others."
            )

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> Self | None:
        """Read it from a job's options; None: the job has none."""
        if "trial" not in options:
            return None
        questions = options["trial"]["questions"]
        return cls(
            tuple(TrialQuestion(text, tuple(documents)) for text, documents in questions),
            options["trial"]["least_recall"],
        )

    def to_options(self) -> dict[str, object]:
        """Return what `from_options` reads."""
        questions = [[question.text, list(question.documents)] for question in self.questions]
        return {"trial": {"questions": questions, "least_recall": self.least_recall}}


def pass_trial(database: Database, folder: Path, embedder: Embedder, trial: Trial) -> None:
    """Search a generation's base by meaning for every question.

    Args:
        database: the database.
        folder: the generation's files.
        embedder: the generation's own.
        trial: what is demanded.

    Raises:
        FindsTooLittle: less was found.
        IndexDamaged: the files do not fit together.
    """
    base = load_base(folder)
    queries = embedder.embed_queries([question.text for question in trial.questions])
    _, found = FaissVectorIndex(base.manifest.dimension, base).search(queries, _CANDIDATES)
    shares = [
        _share(question.documents, _documents(database, chunk_ids.tolist()))
        for question, chunk_ids in zip(trial.questions, found, strict=True)
    ]
    recall = float(np.mean(shares))
    if recall < trial.least_recall:
        raise FindsTooLittle(
            f"recall@{DEPTH} of the new index is {recall:.3f} on {len(shares)} questions, wanted is "
            f"{trial.least_recall:g}; what serves goes on serving."
        )


def _share(wanted: tuple[str, ...], ranking: list[str]) -> float:
    return len({*wanted} & {*ranking[:DEPTH]}) / len({*wanted})


def _documents(database: Database, chunk_ids: list[int]) -> list[str]:
    """Return the external ids of the documents that chunks are of, each at its first place."""
    with database.read() as session:
        rows = session.execute(
            select(Chunk.id, Document.external_id)
            .join(Document, Document.id == Chunk.document_id)
            .where(Chunk.id.in_(chunk_ids), Document.external_id.is_not(None))
        ).all()
    names = {chunk_id: external_id for chunk_id, external_id in rows if external_id is not None}
    return list(dict.fromkeys(names[chunk_id] for chunk_id in chunk_ids if chunk_id in names))
