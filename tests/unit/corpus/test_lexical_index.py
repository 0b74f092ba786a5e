"""BM25 finds what it should, whatever was added, replaced and removed before, and whatever is asked."""

import gc
import math
import threading
import weakref
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from corpus import lexical_index
from corpus.lexical_index import LexicalIndex

VOCABULARY = ["ice", "diesel", "kovacs", "penguin", "14", "b\u00fccher", "\u0645\u062d\u0637\u0629"]
some_ids = st.lists(st.integers(1, 30), max_size=8)
some_texts = st.lists(st.sampled_from(VOCABULARY), max_size=5).map(" ".join)


def index_of(*texts: str) -> LexicalIndex:
    """Index texts under 0, 1, 2 and so on."""
    index = LexicalIndex()
    index.add(range(len(texts)), texts)
    index.commit()
    return index


def found(index: LexicalIndex, query: str, k: int = 100) -> set[int]:
    """Return the ids that a query finds."""
    return {number for number, _ in index.search(query, k)}


class IndexAgainstReference(RuleBasedStateMachine):
    """Random histories; the reference is a dict of texts, changed at each commit."""

    def __init__(self) -> None:
        super().__init__()
        self.index = LexicalIndex()
        self.pending: dict[int, str] = {}
        self.reference: dict[int, str] = {}

    @rule(items=st.lists(st.tuples(st.integers(1, 30), some_texts), max_size=8))
    def add(self, items: list[tuple[int, str]]) -> None:
        """Add or replace; of an id given twice the last text counts."""
        self.index.add([number for number, _ in items], [text for _, text in items])
        self.pending.update(items)

    @rule(ids=some_ids)
    def remove(self, ids: list[int]) -> None:
        """Remove known and unknown ids."""
        self.index.remove(ids)
        for number in ids:
            self.pending.pop(number, None)

    @rule()
    def commit(self) -> None:
        """Make the changes visible."""
        self.index.commit()
        self.reference = dict(self.pending)

    @rule(query=some_texts, k=st.integers(0, 40), allowed=st.none() | st.lists(st.integers(1, 30)))
    def search(self, query: str, k: int, allowed: list[int] | None) -> None:
        """A search returns min(k, matches) of the texts that share a word and are allowed, best first."""
        words = set(query.split())
        expected = {
            number
            for number, text in self.reference.items()
            if words & set(text.split()) and (allowed is None or number in allowed)
        }
        hits = self.index.search(query, k, allowed=allowed)
        assert len(hits) == min(k, len(expected))
        assert {number for number, _ in hits} <= expected
        assert hits == sorted(hits, key=lambda hit: (-hit[1], hit[0]))

    @invariant()
    def holds_what_it_should(self) -> None:
        """Ids and length agree with the reference."""
        assert self.index.ids().tolist() == sorted(self.reference)
        assert len(self.index) == len(self.reference)


TestIndexAgainstReference = IndexAgainstReference.TestCase
TestIndexAgainstReference.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)


@settings(max_examples=50, deadline=None)
@given(texts=st.lists(some_texts, min_size=1, max_size=12), query=some_texts)
def test_scores_are_bm25(texts: list[str], query: str) -> None:
    """Scores equal the formula, computed here by hand; a word said twice in the query counts twice."""
    documents = [text.split() for text in texts]
    average = sum(map(len, documents)) / len(documents)
    for number, score in index_of(*texts).search(query, 100):
        counts = Counter(documents[number])
        expected = 0.0
        for word in query.split():
            containing = sum(word in document for document in documents)
            rarity = math.log(1 + (len(documents) - containing + 0.5) / (containing + 0.5))
            length = 1.2 * (0.25 + 0.75 * len(documents[number]) / average)
            expected += rarity * counts[word] * 2.2 / (counts[word] + length)
        assert score == pytest.approx(expected, rel=1e-4)


@settings(max_examples=100, deadline=None)
@given(query=st.text(st.characters(), max_size=60))
def test_no_text_is_query_syntax(query: str) -> None:
    """Any text, lone surrogates and operators too, is searched without an error."""
    LexicalIndex().search(query, 5)
    index_of("ice", query).search(query, 5)


@pytest.mark.parametrize(
    "query",
    ["", "   ", "?!", "the", "and OR not", '"', "title:", "a:b:c:", "(", "[1 TO", "*", "\\", "\0", "~"],
)
def test_odd_queries(query: str) -> None:
    """Nothing, stop words, punctuation and bits of query languages find nothing and are no error."""
    assert index_of("the generator", "ice").search(query, 5) == []


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("The generators were running.", "generator RUNS"),
        ("Caf\u00e9 M\u00fcller", "cafe muller"),
        ("cafe\u0301", "caf\u00e9"),
        ("caf\u00e9", "cafe\u0301"),
        ("ef\ufb01cient", "efficient"),
        ("\uff2b\uff38", "kx"),
        ("gen\u00aderator", "generator"),
        ("\u6771\u4eac\u30bf\u30ef\u30fc\u306f\u9ad8\u3044", "\u9ad8\u3044"),
        ("\u0e2a\u0e16\u0e32\u0e19\u0e35\u0e27\u0e34\u0e08\u0e31\u0e22", "\u0e27\u0e34\u0e08\u0e31\u0e22"),
        ("\u0939\u093f\u0928\u094d\u0926\u0940", "\u0939\u093f\u0928\u094d\u0926\u0940"),
        (
            "\u0421\u0442\u0430\u043d\u0446\u0438\u044f \u043e\u0442\u043a\u0440\u044b\u0442\u0430",
            "\u0441\u0442\u0430\u043d\u0446\u0438\u044f",
        ),
        (
            "\u0627\u0644\u0645\u062d\u0637\u0629 \u0645\u0641\u062a\u0648\u062d\u0629",
            "\u0627\u0644\u0645\u062d\u0637\u0629",
        ),
        ("Donaudampfschifffahrt", "donaudampfschifffahrt"),
        ("room 14", "14"),
    ],
)
def test_words_of_any_language_are_found(text: str, query: str) -> None:
    """Word forms, accents, ligatures, widths, soft hyphens and scripts without spaces do not hide a word."""
    assert found(index_of(text, "something else"), query) == {0}


@pytest.mark.parametrize("dash", ["-", "\u2010", "\u2011", "\u2013", "\u2212"])
def test_a_code_beats_its_parts(dash: str) -> None:
    """A text with the very code ranks above one that has its parts more often, with any dash."""
    index = index_of("204 KX KX 204 204 KX", f"The pump is a KX{dash}204.", "KX-205", "204 204 204")
    assert index.search("kx-204", 4)[0][0] == 1
    assert found(index, "204") == {0, 1, 3}


def test_numbers_and_dates_count_whole() -> None:
    """A decimal number and a date rank above texts with the same digits elsewhere."""
    index = index_of("5 of 10", "10.5 litres", "2024: 05 and 01", "since 2024-05-01", "other")
    assert index.search("10.5", 5)[0][0] == 1
    assert index.search("2024-05-01", 5)[0][0] == 3


def test_one_allowed_in_many_is_found() -> None:
    """A filter that keeps one text of 5000 finds it, though others match as well."""
    index = index_of(*["ice and snow"] * 5000)
    assert [number for number, _ in index.search("ice", 3, allowed=[4321])] == [4321]
    assert index.search("ice", 3, allowed=[]) == []
    assert index.search("penguin", 3, allowed=np.arange(5000)) == []


def test_few_ids_and_many_are_found_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids looked up one by one give the scores that a set of them gives, and that no filter gives."""
    random = np.random.default_rng(3)
    index = index_of(*(" ".join(random.choice(["ice", "snow", "KX-204", "sea"], 6)) for _ in range(300)))
    query = "ice ice on the KX-204"
    unfiltered = dict(index.search(query, 300))
    for count in (1, 9, 30):
        allowed = np.sort(random.choice(300, count, replace=False))
        few = index.search(query, 300, allowed=allowed)
        monkeypatch.setattr(lexical_index, "FEW_IDS", 0)
        assert index.search(query, 300, allowed=allowed) == few
        monkeypatch.undo()
        assert dict(few) == {each: unfiltered[each] for each in allowed if each in unfiltered}


def test_a_wide_filter_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter that keeps half, but none of the best, still finds all that it keeps."""
    monkeypatch.setattr(lexical_index, "MOST_SELECTIVE_CHECKED", 2)
    index = index_of(*["ice"] * 60, *["ice in a long text on penguins"] * 60)
    allowed = np.arange(60, 120)
    assert sorted(number for number, _ in index.search("ice", 10, allowed=allowed)) == list(range(60, 70))
    assert len(index.search("ice", 100, allowed=allowed)) == 60


def test_changes_wait_for_the_commit() -> None:
    """Searches see nothing of a change before its commit, then all of it."""
    index = index_of("ice")
    index.add([1], ["ice"])
    index.remove([0])
    assert found(index, "ice") == {0}
    index.commit()
    assert found(index, "ice") == {1}


def test_a_query_of_many_words_is_fine() -> None:
    """Thousands of different words are searched by the first of them."""
    index = index_of("word3", "word9999")
    assert found(index, " ".join(f"word{i}" for i in range(10_000))) == {0}


def test_an_empty_index_finds_nothing() -> None:
    """Before the first commit there is nothing, and that is no error."""
    index = LexicalIndex()
    index.commit()
    assert index.search("ice", 5) == []
    assert index.ids().tolist() == []


def test_readers_always_see_a_whole_commit() -> None:
    """While one thread replaces both texts in each commit, readers see two of one kind."""
    index = index_of("ice old", "ice old")
    stop = threading.Event()

    def write() -> None:
        for turn in range(40):
            index.add([0, 1], [f"ice turn{turn}"] * 2)
            index.commit()
        stop.set()

    def read() -> None:
        while not stop.is_set():
            hits = index.search("ice", 5)
            assert [number for number, _ in hits] == [0, 1]
            assert hits[0][1] == hits[1][1]

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        pool.submit(write).result()
        for reader in readers:
            reader.result()


def threads() -> int:
    """Return how many threads this process has, those of tantivy too."""
    return len(list(Path("/proc/self/task").iterdir()))


def test_an_index_that_nothing_was_put_into_has_no_threads() -> None:
    """Nothing to remove, to commit or to find starts no writer."""
    before = threads()
    indexes = [LexicalIndex() for _ in range(5)]
    for index in indexes:
        index.remove([])
        index.remove(np.array([], dtype=np.int64))
        index.commit()
        assert index.search("ice", 5) == []
    assert threads() <= before


def test_a_dropped_index_is_gone_at_once() -> None:
    """Its writer's threads do not wait for the garbage collector, also after searches."""
    index = index_of("ice")
    assert found(index, "ice") == {0}
    gone = weakref.ref(index)
    gc.disable()
    try:
        del index
        assert gone() is None
    finally:
        gc.enable()
