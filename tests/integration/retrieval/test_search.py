"""Searching: modes, filters, several collections, what is read from the database."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import event, update

from corpus.database import Database
from corpus.embedding import Embedder
from corpus.errors import CollectionNotFound, EmbedderMismatch, InvalidRequest
from corpus.models import Document
from rag_service.retrieval.candidates import Place, Query, rank_candidates
from rag_service.retrieval.filters import parse_filter
from rag_service.retrieval.passages import Passage, Scores
from rag_service.retrieval.reranking import READ_AGAIN
from rag_service.retrieval.search import Mode, Retriever, SearchRequest
from tests.factories import migrated_database
from tests.fakes import FakeEmbedder
from tests.integration.retrieval.shelf import Shelf

GENERATORS = "Orson Kovacs keeps the two diesel generators."
CAFE = "The café of Ilse Brandt opens at half past six."
SHIP = "A ship brings fuel and flour every second month."
NONE = Scores(None, None, 0.0)
MODES: list[Mode] = ["hybrid", "dense", "lexical"]


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Both databases, each built by the migrations."""
    if request.param == "sqlite":
        database = migrated_database(tmp_path)
    else:
        database = Database(request.getfixturevalue("postgresql_url"))
    yield database
    database.close()


@pytest.fixture
def shelf(database: Database, tmp_path: Path) -> Shelf:
    """One collection with three documents of one paragraph."""
    shelf = Shelf(database, tmp_path / "generations")
    shelf.add(GENERATORS, title="Handbook", year=2024)
    shelf.add(CAFE, title="Guide", year=2019)
    shelf.add(SHIP, title="Supplies")
    return shelf


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_puts_the_fitting_passage_first(shelf: Shelf, mode: Mode) -> None:
    """Words in common decide, in any of the three modes."""
    assert shelf.found("Who keeps the diesel generators?", mode=mode)[0] == GENERATORS


def test_scores_tell_which_index_was_asked(shelf: Shelf) -> None:
    """Hybrid has all three, the other modes their own and the one that ranks."""
    hybrid, dense, lexical = (
        shelf.search("diesel generators", mode=mode).passages[0].scores for mode in MODES
    )
    assert hybrid.dense is not None
    assert hybrid.lexical is not None
    assert (dense.lexical, dense.fused) == (None, dense.dense)
    assert (lexical.dense, lexical.fused) == (None, lexical.lexical)


def test_a_passage_has_what_its_document_has(shelf: Shelf) -> None:
    """Ids, title, version, page, offsets and metadata come with it, and the generation with the result."""
    result = shelf.search("diesel generators")
    passage = result.passages[0]
    assert passage.document_title == "Handbook"
    assert passage.external_id == f"x-{passage.document_id}"
    assert passage.metadata == {"year": 2024}
    assert (passage.start, passage.end, passage.page) == (0, len(GENERATORS), 1)
    assert passage.heading_path == ("Part",)
    assert passage.document_version == 1
    assert result.generation is not None
    assert result.generation.startswith("gen_")
    assert result.timings_ms.embed > 0
    assert result.timings_ms.search > 0


@pytest.mark.parametrize("mode", MODES)
def test_a_filter_finds_the_one_chunk_that_it_keeps(shelf: Shelf, mode: Mode) -> None:
    """Though sixty others fit the query better."""
    for number in range(60):
        shelf.add(f"The generators and the diesel of store {number}.", year=2000 + number % 10)
    shelf.add("Far away, some diesel.", year=1999)
    filters = parse_filter({"type": "lt", "key": "year", "value": 2000})
    found = shelf.found("the generators and the diesel", mode=mode, filters=filters, candidates=5, top_k=3)
    assert found == ["Far away, some diesel."]
    assert (
        shelf.found("diesel", mode=mode, filters=parse_filter({"type": "eq", "key": "year", "value": 1}))
        == []
    )


@pytest.fixture
def after_ranking(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """Changes that are committed after the indexes have answered and before passages are read, one each."""
    changes: list[Callable[[], object]] = []

    def rank_then_change(
        query: Query, places: Sequence[Place], count: int, *, first: int
    ) -> Iterator[tuple[int, Scores]]:
        ranked = rank_candidates(query, places, count, first=first)
        if changes:
            changes.pop()()
        return ranked

    monkeypatch.setattr("rag_service.retrieval.search.rank_candidates", rank_then_change)
    return changes


def test_metadata_changed_after_the_index_was_asked_still_counts(
    shelf: Shelf, after_ranking: list[Callable[[], object]]
) -> None:
    """The filter is asked again where the passages are read."""

    def change() -> None:
        with shelf.database.write() as session:
            session.execute(update(Document).values(metadata_={"year": 1}))

    after_ranking.append(change)
    assert shelf.found("generators", filters=parse_filter({"type": "eq", "key": "year", "value": 2024})) == []


def test_a_document_deleted_after_the_index_was_asked_does_not_come_out(
    shelf: Shelf, after_ranking: list[Callable[[], object]]
) -> None:
    """What is gone from the database is left out, the next ones move up."""
    first = shelf.search("generators diesel café").passages[0]
    after_ranking.append(lambda: shelf.delete(first.document_id))
    passages = shelf.search("generators diesel café").passages
    assert len(passages) == 2
    assert first.document_id not in {passage.document_id for passage in passages}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("filtered", [False, True])
def test_a_document_replaced_after_the_index_was_asked_is_found(
    shelf: Shelf, after_ranking: list[Callable[[], object]], mode: Mode, *, filtered: bool
) -> None:
    """Its new text comes out in the place of the old one, not nothing."""
    old = shelf.search("diesel generators").passages[0].document_id

    def replace() -> None:
        shelf.delete(old)
        shelf.add("Three diesel generators now.", year=2024)

    after_ranking.append(replace)
    filters = parse_filter({"type": "eq", "key": "year", "value": 2024}) if filtered else None
    assert shelf.found("diesel generators", mode=mode, filters=filters)[0] == "Three diesel generators now."


def test_a_document_replaced_before_the_filter_was_asked_is_found(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chunks that a filter lets pass are those of the indexes, not later ones."""
    refresh = shelf.follower.refresh
    kept = shelf.search("diesel generators").passages[0].document_id

    def refresh_then_replace() -> int:
        number = refresh()
        shelf.delete(kept)
        shelf.add("Three diesel generators now.", year=2024)
        return number

    monkeypatch.setattr(shelf.follower, "refresh", refresh_then_replace)
    filters = parse_filter({"type": "eq", "key": "year", "value": 2024})
    assert shelf.found("diesel generators", filters=filters) == ["Three diesel generators now."]


def test_each_collection_is_searched_with_its_own_embedder(shelf: Shelf, tmp_path: Path) -> None:
    """Also in one search over several; the embedder is found when it is first needed."""
    other = FakeEmbedder(dimension=16, name="other")
    loaded: list[str] = []

    def find(embedder_id: str, source: str | None = None, /) -> Embedder:
        loaded.append(embedder_id)
        assert source is None
        return other

    second = Shelf(shelf.database, tmp_path, name="second", follower=shelf.follower, embedder=other)
    second.add("Three more diesel generators stand in the cellar.")
    retriever = Retriever(shelf.database, shelf.follower, shelf.embedder, find)
    for mode in MODES:
        request = SearchRequest("diesel generators", ("default", "second"), top_k=2, mode=mode)
        found = retriever.search(request).passages
        assert {passage.collection_id for passage in found} == {shelf.id, second.id}
    assert loaded == [other.id]


def test_a_deleted_document_is_gone_from_the_next_search(shelf: Shelf) -> None:
    """And a new one is found by it."""
    shelf.delete(shelf.search("diesel generators").passages[0].document_id)
    shelf.add("New diesel generators.")
    assert shelf.found("diesel generators")[0] == "New diesel generators."
    assert GENERATORS not in shelf.found("diesel generators")


def test_what_other_processes_delete_and_add_counts_at_once(shelf: Shelf) -> None:
    """A search looks for commits of others each time, also between two that find nothing new."""
    other = copy(shelf)
    other.database = Database(shelf.database.url.render_as_string(hide_password=False))
    for number in range(5):
        assert shelf.found("diesel generators") == shelf.found("diesel generators")
        other.delete(shelf.search("diesel generators").passages[0].document_id)
        assert not any("diesel" in text for text in shelf.found("diesel generators"))
        other.add(f"Diesel generators, delivery {number}.")
        assert shelf.found("diesel generators")[0] == f"Diesel generators, delivery {number}."
    other.database.close()


def test_a_search_takes_one_select_when_nothing_changed(shelf: Shelf) -> None:
    """On SQLite: that of the passages; the same collection is known and nothing is to be caught up."""
    for query in ("generators", "diesel generators"):  # the first one loads the indexes
        shelf.found(query)
    statements: list[str] = []
    event.listen(shelf.database.engine, "before_cursor_execute", lambda *told: statements.append(told[2]))
    with shelf.database.bare_snapshot() as connection:
        if isinstance(connection, sqlite3.Connection):
            connection.set_trace_callback(statements.append)  # the search is lent the same one
    assert shelf.found("diesel")[0] == GENERATORS
    selects = [statement for statement in statements if statement.startswith("SELECT")]
    assert len(selects) == (3 if shelf.database.is_postgresql else 1)


def test_passages_are_read_alike_with_a_filter_and_without(shelf: Shelf) -> None:
    """On SQLite two ways lead to the rows."""
    shelf.add("A list of diesel prices.", title="Prices", year=1, tags=["a", None])
    marked = parse_filter({"type": "eq", "key": "year", "value": 1})
    for query in ("diesel", "diesel prices"):
        found = [passage for passage in shelf.search(query).passages if passage.metadata.get("year") == 1]
        assert [replace(each, scores=NONE) for each in found] == [
            replace(each, scores=NONE) for each in shelf.search(query, filters=marked).passages
        ]


def test_a_chunk_without_a_vector_yet_is_found_by_its_words(shelf: Shelf) -> None:
    """Its dense score is None, not zero."""
    shelf.add("A zeppelin is moored behind the hall.", embedded=False)
    passage = shelf.search("zeppelin moored").passages[0]
    assert passage.text.startswith("A zeppelin")
    assert passage.scores.dense is None


def test_collections_are_searched_together(shelf: Shelf, tmp_path: Path) -> None:
    """Passages of both are ranked in one list; a collection named twice counts once."""
    other = Shelf(shelf.database, tmp_path, name="other", follower=shelf.follower, embedder=shelf.embedder)
    other.add("Three more diesel generators stand in the cellar.")
    request = SearchRequest("diesel generators", collections=("default", other.id, "default"), top_k=2)
    result = shelf.retriever.search(request)
    assert {passage.collection_id for passage in result.passages} == {shelf.id, other.id}
    assert result.generation is None


def test_an_unknown_collection_and_a_blank_query_are_refused(shelf: Shelf) -> None:
    """Each with its own error."""
    with pytest.raises(CollectionNotFound):
        shelf.found("x", collections=("nowhere",))
    with pytest.raises(InvalidRequest, match="query"):
        shelf.found(" \n")


def test_vectors_of_another_embedder_are_never_compared(shelf: Shelf) -> None:
    """The error says how to go on; words alone can still be searched."""
    retriever = Retriever(shelf.database, shelf.follower, FakeEmbedder(dimension=48, name="newer"))
    with pytest.raises(EmbedderMismatch, match=r"rag reindex --collection default"):
        retriever.search(SearchRequest("diesel"))
    assert retriever.search(SearchRequest("diesel", mode="lexical")).passages[0].text == GENERATORS


def test_near_duplicates_and_a_limit_per_document(shelf: Shelf) -> None:
    """The same text in two documents is one passage; of one document at most so many come."""
    shelf.add(GENERATORS, title="Copy")
    shelf.add("Diesel one, drained.\n\nDiesel two, filled.\n\nDiesel three, sold.")
    found = shelf.search("diesel", top_k=10, per_document=2).passages
    assert [passage.text for passage in found].count(GENERATORS) == 1
    assert sum(passage.text.startswith("Diesel ") for passage in found) == 2


def test_top_k_may_exceed_the_candidates(shelf: Shelf) -> None:
    """As many as were asked for come out, if there are so many."""
    for number in range(30):
        shelf.add(f"Diesel of barrel {number}.")
    assert len(shelf.found("diesel barrel", top_k=30, candidates=5)) == 30
    assert len(shelf.found("diesel barrel", top_k=4)) == 4


def test_neighbours_are_joined_into_exact_spans(shelf: Shelf) -> None:
    """Hits two paragraphs apart become one passage, which is a span of the document."""
    paragraphs = [
        f"Paragraph {word} \u2013 naïve \U0001d6fc."
        for word in ("zero", "one", "two", "three", "four", "five", "six")
    ]
    text = "\n\n".join(paragraphs)
    document_id = shelf.add(text)
    plain = shelf.search("two four", top_k=2)
    assert {passage.text for passage in plain.passages} == {paragraphs[2], paragraphs[4]}
    (wide,) = shelf.search("two four", top_k=2, expand="neighbours").passages
    assert wide.document_id == document_id
    assert wide.text == text[wide.start : wide.end] == "\n\n".join(paragraphs[1:6])
    assert wide.page == 2  # where it begins now; each paragraph is a page of its own
    assert wide.chunk_id == plain.passages[0].chunk_id
    assert wide.scores == plain.passages[0].scores


def test_neighbours_at_the_ends_of_a_document(shelf: Shelf) -> None:
    """A single paragraph has none, the first one has one."""
    assert shelf.found("diesel generators", top_k=1, expand="neighbours") == [GENERATORS]
    text = "Alpha begins.\n\nBeta goes on.\n\nGamma ends."
    shelf.add(text)
    assert shelf.found("alpha begins", top_k=1, expand="neighbours") == ["Alpha begins.\n\nBeta goes on."]


def test_a_reranker_orders_the_head_of_the_ranking(shelf: Shelf) -> None:
    """Its scores come with the passages; what was deleted while it read is not returned."""
    asked: list[int] = []

    def shortest_first(_query: str, passages: Sequence[Passage]) -> list[float]:
        asked.append(len(passages))
        return [-len(passage.text) for passage in passages]

    retriever = Retriever(shelf.database, shelf.follower, shelf.embedder, rerank=shortest_first)
    found = retriever.search(SearchRequest("diesel generators", top_k=3)).passages
    lengths = [len(passage.text) for passage in found]
    assert lengths == sorted(lengths)
    assert [passage.scores.reranked for passage in found] == [-length for length in lengths]
    assert 0 < asked[0] <= READ_AGAIN

    def deleting(query: str, passages: Sequence[Passage]) -> list[float]:
        if len(asked) == 1:
            shelf.delete(passages[0].document_id)
        return shortest_first(query, passages)

    retriever = Retriever(shelf.database, shelf.follower, shelf.embedder, rerank=deleting)
    gone = shelf.search("diesel generators").passages[0].document_id
    later = retriever.search(SearchRequest("diesel generators", top_k=3)).passages
    assert gone not in {passage.document_id for passage in later}


@pytest.mark.parametrize("filtered", [False, True])
def test_a_reranker_orders_a_search_that_begins_anew(shelf: Shelf, *, filtered: bool) -> None:
    """What was replaced while it read is read then; the others have their scores already."""
    old = shelf.search("diesel generators").passages[0].document_id
    read: list[str] = []

    def longest_first(_query: str, passages: Sequence[Passage]) -> list[float]:
        if not read:
            shelf.delete(old)
            shelf.add("Three diesel generators now.", year=2024)
        read.extend(passage.text for passage in passages)
        return [len(passage.text) for passage in passages]

    filters = parse_filter({"type": "ne", "key": "year", "value": 1}) if filtered else None
    retriever = Retriever(shelf.database, shelf.follower, shelf.embedder, rerank=longest_first)
    found = retriever.search(SearchRequest("diesel generators", filters=filters)).passages
    assert [passage.text for passage in found] == [SHIP, CAFE, "Three diesel generators now."]
    assert [passage.scores.reranked for passage in found] == [len(passage.text) for passage in found]
    assert sorted(read) == sorted([GENERATORS, CAFE, SHIP, "Three diesel generators now."])
