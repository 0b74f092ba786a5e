"""BM25 over chunks with tantivy, in memory.

Two fields stand for a text. ``words`` has its words: lower case, without accents, English stems, no
English stop words. Words of other languages go through the same steps on both sides, so that they are
found by themselves; of scripts that put no space between words each character is a word. ``codes`` has
what a split would blur, such as ``KX-204``, ``10.5`` or ``2024-05-01``, whole.

A query is built from terms, never parsed: no text of a user is query syntax.
"""

import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache, partial
from itertools import islice
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray
from tantivy import (
    DocAddress,
    Document,
    Filter,
    Index,
    IndexWriter,
    Occur,
    Query,
    Schema,
    SchemaBuilder,
    Searcher,
    TextAnalyzer,
    TextAnalyzerBuilder,
    Tokenizer,
)

from corpus.text import encodable

WRITER_MEMORY = 15_000_000  # bytes; the least that tantivy takes
LONGEST_TERM = 200  # bytes; longer ones are no words
FEW_IDS = 200  # up to so many are looked up one by one
MOST_SELECTIVE_CHECKED = 8  # a filter that keeps at least one in so many is first tried on what is found
QUERIES_REMEMBERED = 16
MOST_QUERY_TERMS = 512  # a longer query is searched by its first terms
_SOFT_HYPHEN_AND_DASHES = {0xAD: None, **dict.fromkeys((*range(0x2010, 0x2016), 0x2212), "-")}
_UNSPACED = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff])"
)
_JOINED = re.compile(r"(?<![^\W_])[^\W_]++(?:[-./:_][^\W_]+)++")
_DIGIT = re.compile(r"\d")


class LexicalIndex:
    """Texts under stable ids, ranked by BM25 (Robertson and Zaragoza 2009, k1 = 1.2, b = 0.75).

    Changes are seen by searches after `commit`, all at once. All methods may be called from any
    thread; writers take turns, searches wait for nobody.
    """

    def __init__(self) -> None:
        self._words, self._codes = _word_analyzer(), _code_analyzer()
        self._schema = _schema()
        # A search may ask several times for one query. No method of this object is remembered: the cycle
        # would keep a dropped index and the threads of its writer until the garbage collector comes by.
        either = partial(_either, self._schema, self._words, self._codes)
        self._either = lru_cache(QUERIES_REMEMBERED)(either)
        self._index = Index(self._schema)
        self._index.register_tokenizer("words", self._words)
        self._index.register_tokenizer("codes", self._codes)
        self._searcher: Searcher = self._index.searcher()
        self._writer: IndexWriter | None = None  # has threads of its own, so only where it is needed
        self._writing = threading.Lock()

    def add(self, ids: NDArray[np.int64] | Sequence[int], texts: Sequence[str]) -> None:
        """Put texts under ids; an id that is there is replaced, of one given twice the last counts."""
        with self._writing:
            writer = self._open_writer()
            for number, text in zip(map(int, ids), texts, strict=True):
                writer.delete_documents_by_term("id", number)
                writer.add_document(_document(number, text))

    def remove(self, ids: NDArray[np.int64] | Sequence[int]) -> None:
        """Forget ids; unknown ones are ignored."""
        if len(ids) == 0:
            return  # without a writer, whose six threads and 2.5 MB an empty index would keep
        with self._writing:
            writer = self._open_writer()
            for number in map(int, ids):
                writer.delete_documents_by_term("id", number)

    def commit(self) -> None:
        """Let searches see what was added and removed since the last commit."""
        with self._writing:
            if self._writer is not None:
                self._writer.commit()
                self._index.reload()
                self._searcher = self._index.searcher()

    def search(
        self, query: str, k: int, *, allowed: NDArray[np.int64] | Sequence[int] | None = None
    ) -> list[tuple[int, float]]:
        """Return the k best ids and their scores, best first, of equal ones the smaller id first.

        Only texts that share a term with the query are found, so there may be fewer than k, and none
        for a query without words. With `allowed`, only these ids count, at any selectivity.
        """
        searcher = self._searcher
        limit = min(k, searcher.num_docs)
        either = self._either(query)
        if limit <= 0 or either is None:
            return []
        if allowed is None:
            return _ranked(searcher, either, limit)
        return self._search_among(searcher, either, limit, np.asarray(allowed, dtype=np.int64))

    def _search_among(
        self, searcher: Searcher, either: Query, limit: int, allowed: NDArray[np.int64]
    ) -> list[tuple[int, float]]:
        """Search under a filter; one that keeps much is checked on the best of all first.

        A condition on ids costs 1 ms for 1500 of them, and 0.1 ms for 50.
        """
        if len(allowed) > searcher.num_docs // MOST_SELECTIVE_CHECKED:
            depth = min(limit * 2 * MOST_SELECTIVE_CHECKED, searcher.num_docs)
            best = _ranked(searcher, either, depth)
            kept = np.isin(np.array([number for number, _ in best], dtype=np.int64), allowed)
            found = [hit for hit, is_kept in zip(best, kept, strict=True) if is_kept]
            if len(found) >= limit or len(best) < depth:
                return found[:limit]
        return _ranked(searcher, self._both(either, allowed), limit)

    def ids(self) -> NDArray[np.int64]:
        """Return the committed ids, in ascending order."""
        searcher = self._searcher
        hits = searcher.search(Query.all_query(), max(1, searcher.num_docs), count=False).hits
        return np.sort(np.array(_ids_of(searcher, [address for _, address in hits]), dtype=np.int64))

    def __len__(self) -> int:
        return int(self._searcher.num_docs)

    def _open_writer(self) -> IndexWriter:
        if self._writer is None:
            self._writer = self._index.writer(WRITER_MEMORY, num_threads=1)
        return self._writer

    def _both(self, either: Query, allowed: NDArray[np.int64]) -> Query:
        """Return the query under a condition on ids, which adds nothing to the score."""
        one_of = Query.const_score_query(self._one_of(allowed.tolist()), 0.0)
        return Query.boolean_query([(Occur.Must, either), (Occur.Must, one_of)])

    def _one_of(self, ids: list[int]) -> Query:
        """Return the query of any of the ids.

        A set is one automaton that goes through the ids of all texts, which a few terms need not.
        """
        if len(ids) > FEW_IDS:
            return Query.term_set_query(self._schema, "id", ids)
        terms = (Query.term_query(self._schema, "id", number) for number in ids)
        return Query.boolean_query([(Occur.Should, term) for term in terms])


def _either(schema: Schema, words: TextAnalyzer, codes: TextAnalyzer, query: str) -> Query | None:
    """Return the query of any of a text's terms, None without any; one that was said twice counts twice."""
    parts = []
    for (field, term), count in _count_terms(words, codes, query).items():
        part = Query.term_query(schema, field, term, "freq")
        parts.append((Occur.Should, part if count == 1 else Query.boost_query(part, count)))
    return Query.boolean_query(parts) if parts else None


def _count_terms(words: TextAnalyzer, codes: TextAnalyzer, query: str) -> dict[tuple[str, str], int]:
    """Count the query's terms, each with its field."""
    text = _prepare(query)
    terms = [("words", term) for term in words.analyze(text)]
    terms += [("codes", term) for term in codes.analyze(_codes_in(text))]
    return dict(islice(Counter(terms).items(), MOST_QUERY_TERMS))


def _ranked(searcher: Searcher, query: Query, limit: int) -> list[tuple[int, float]]:
    hits = searcher.search(query, limit, count=False).hits
    ids = _ids_of(searcher, [address for _, address in hits])
    found = sorted((number, score) for number, (score, _) in zip(ids, hits, strict=True))
    found.sort(key=itemgetter(1), reverse=True)  # equal ones stay in order of id
    return found


def _ids_of(searcher: Searcher, addresses: list[DocAddress]) -> list[int]:
    ids: list[int] = searcher.fast_field_values("id", addresses)  # type: ignore[assignment]  # all are there
    return ids


def _schema() -> Schema:
    builder = SchemaBuilder()
    builder.add_integer_field("id", indexed=True, fast=True)
    builder.add_text_field("words", tokenizer_name="words", index_option="freq")
    builder.add_text_field("codes", tokenizer_name="codes", index_option="freq")
    return builder.build()


def _word_analyzer() -> TextAnalyzer:
    return (
        TextAnalyzerBuilder(Tokenizer.simple())
        .filter(Filter.remove_long(LONGEST_TERM))
        .filter(Filter.lowercase())
        .filter(Filter.stopword("english"))
        .filter(Filter.ascii_fold())
        .filter(Filter.stemmer("english"))
        .build()
    )


def _code_analyzer() -> TextAnalyzer:
    return (
        TextAnalyzerBuilder(Tokenizer.whitespace())
        .filter(Filter.remove_long(LONGEST_TERM))
        .filter(Filter.lowercase())
        .filter(Filter.ascii_fold())
        .build()
    )


def _document(number: int, text: str) -> Document:
    prepared = _prepare(text)
    document = Document()
    document.add_integer("id", number)
    document.add_text("words", prepared)
    codes = _codes_in(prepared)
    if codes:
        document.add_text("codes", codes)
    return document


def _prepare(text: str) -> str:
    """Undo what typesetting does to words (ligatures, full width, soft hyphens, six kinds of dash)."""
    if text.isascii():
        return text
    plain = unicodedata.normalize("NFKC", encodable(text)).translate(_SOFT_HYPHEN_AND_DASHES)
    return _UNSPACED.sub(r" \1 ", plain)


def _codes_in(prepared: str) -> str:
    """Return the joined words that have a digit, with spaces between them."""
    near = (piece for piece in prepared.split() if not piece.isalpha() and _DIGIT.search(piece))
    return " ".join(code for piece in near for code in _JOINED.findall(piece) if _DIGIT.search(code))
