"""The FAISS index equals a brute-force reference, whatever was added, replaced and removed before."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from numpy.typing import NDArray

from corpus.vector_index import VectorIndex, faiss_index, inverted_lists
from corpus.vector_index.faiss_index import FaissVectorIndex
from corpus.vector_index.generation_files import load_base, write_base

DIMENSION = 8
some_ids = st.lists(st.integers(1, 40), max_size=12)


def unit_vectors(count: int, seed: int = 0, dimension: int = DIMENSION) -> NDArray[np.float32]:
    """Return random unit vectors."""
    vectors = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def array(ids: list[int]) -> NDArray[np.int64]:
    """Return ids as the index takes them."""
    return np.array(ids, dtype=np.int64)


def check_search(
    index: VectorIndex, reference: dict[int, NDArray[np.float32]], k: int, allowed: list[int] | None
) -> None:
    """Compare with the whole sorted list of inner products; equal scores may change places."""
    queries = unit_vectors(2, seed=k)
    scores, ids = index.search(queries, k, allowed=None if allowed is None else array(allowed))
    assert scores.shape == ids.shape == (2, k)
    for query, row_scores, row_ids in zip(queries, scores, ids, strict=True):
        exact = {
            number: float(vector @ query)
            for number, vector in reference.items()
            if allowed is None or number in allowed
        }
        expected = sorted(exact.values(), reverse=True)[:k]
        found = [int(number) for number in row_ids if number >= 0]
        assert len(found) == len(set(found)) == len(expected)
        np.testing.assert_allclose(row_scores[: len(found)], expected, atol=1e-5)
        np.testing.assert_allclose([exact[number] for number in found], expected, atol=1e-5)
        assert (row_ids[len(found) :] == -1).all()
        assert np.isneginf(row_scores[len(found) :]).all()


class IndexAgainstReference(RuleBasedStateMachine):
    """Random histories, on a base or without one; segments are tiny, so that there are many."""

    folder: Path

    def __init__(self) -> None:
        super().__init__()
        self.reference: dict[int, NDArray[np.float32]] = {}
        self.seed = 0

    @initialize(
        base=st.none() | st.lists(st.integers(1, 40), max_size=20, unique=True),
        index_type=st.sampled_from(["flat", "ivf"]),
    )
    def start(self, base: list[int] | None, index_type: str) -> None:
        """Begin with a base from files, flat or with lists, or with nothing."""
        opened = None
        if base is not None:
            vectors = unit_vectors(len(base), seed=99).astype(np.float16).astype(np.float32)
            self.reference.update(zip(base, vectors, strict=True))
            folder = self.folder / f"gen_{index_type}_{len(base)}"
            write_base(
                folder,
                array(base),
                vectors,
                embedder="e@1",
                chunking="e/8/0",
                change_number=1,
                index_type=index_type,
            )
            opened = load_base(folder, check_hashes=True)
        self.index = FaissVectorIndex(DIMENSION, opened)

    @rule(ids=some_ids)
    def add(self, ids: list[int]) -> None:
        """Add or replace; of an id given twice the last vector counts."""
        self.seed += 1
        vectors = unit_vectors(len(ids), self.seed)
        self.index.add(array(ids), vectors)
        self.reference.update(zip(ids, vectors, strict=True))

    @rule(ids=some_ids)
    def remove(self, ids: list[int]) -> None:
        """Remove known and unknown ids."""
        self.index.remove(array(ids))
        for number in ids:
            self.reference.pop(number, None)

    @rule(k=st.integers(0, 50), allowed=st.none() | some_ids)
    def search(self, k: int, allowed: list[int] | None) -> None:
        """Search with and without a filter."""
        check_search(self.index, self.reference, k, allowed)

    @invariant()
    def holds_what_it_should(self) -> None:
        """Ids and length agree with the reference."""
        assert self.index.ids().tolist() == sorted(self.reference)
        assert len(self.index) == len(self.reference)


@pytest.mark.parametrize("scan_up_to", [0, 10, 20_000])
def test_equals_the_reference_after_any_history(
    scan_up_to: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Search results equal brute force after any adds, replacements and removals, on any base.

    Lists over so few vectors are one cell, so they too find everything, by codes or one by one.
    """
    monkeypatch.setattr(faiss_index, "SEGMENT_ROWS", 4)
    monkeypatch.setattr(inverted_lists, "_SCAN_UP_TO", scan_up_to)
    machine = type("Machine", (IndexAgainstReference,), {"folder": tmp_path})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=60, stateful_step_count=25, deadline=None)
    )


def test_filter_keeps_one_in_many() -> None:
    """A filter that allows one id of 20,000 finds it, and none finds nothing."""
    index = FaissVectorIndex(DIMENSION)
    index.add(np.arange(20_000, dtype=np.int64), unit_vectors(20_000))
    scores, ids = index.search(unit_vectors(1, seed=5), 3, allowed=array([12_345]))
    assert ids.tolist() == [[12_345, -1, -1]]
    assert scores[0, 1] == -np.inf
    assert index.search(unit_vectors(1), 2, allowed=array([]))[1].tolist() == [[-1, -1]]


def test_scores_do_not_depend_on_how_many_are_allowed(tmp_path: Path) -> None:
    """What is allowed is scored alike to the last bit with a scan and without, in a base and behind it."""
    vectors = unit_vectors(600, dimension=384)
    arguments = {"embedder": "e@1", "chunking": "e/8/0", "change_number": 1}
    write_base(tmp_path, np.arange(300), vectors[:300], index_type="flat", **arguments)  # type: ignore[arg-type]
    index = FaissVectorIndex(384, load_base(tmp_path))
    index.add(np.arange(300, 600), vectors[300:])
    query = unit_vectors(1, seed=5, dimension=384)
    scores, ids = index.search(query, 600)
    exact = dict(zip(ids[0].tolist(), scores[0].tolist(), strict=True))
    allowed = array([3, 77, 299, 300, 512, 9999])
    for k in (2, 5, 8):
        scores, ids = index.search(query, k, allowed=allowed)
        wanted = sorted(((exact[each], each) for each in allowed[:-1].tolist()), reverse=True)[:k]
        assert list(zip(scores[0].tolist(), ids[0].tolist(), strict=True))[: len(wanted)] == wanted


def test_scores_of_some_ids_are_those_of_a_search(tmp_path: Path) -> None:
    """To the last bit, in a base and behind it; unknown and removed ids have none."""
    vectors = unit_vectors(600, dimension=384)
    arguments = {"embedder": "e@1", "chunking": "e/8/0", "change_number": 1}
    write_base(tmp_path, np.arange(300), vectors[:300], index_type="flat", **arguments)  # type: ignore[arg-type]
    index = FaissVectorIndex(384, load_base(tmp_path))
    index.add(np.arange(300, 600), vectors[300:])
    index.remove(array([7, 555]))
    query = unit_vectors(1, seed=5, dimension=384)
    scores, ids = index.search(query, 598)
    exact = dict(zip(ids[0].tolist(), scores[0].tolist(), strict=True))
    wanted = [599, 3, 7, 555, 299, 300, 9999]
    assert index.scores(query[0], array(wanted)) == {each: exact[each] for each in wanted if each in exact}
    assert index.scores(query[0], array([])) == {}


def test_a_query_of_no_numbers_finds_nothing() -> None:
    """NaN is near to nothing, with a filter and without."""
    index = FaissVectorIndex(DIMENSION)
    index.add(array([1, 2, 3]), unit_vectors(3))
    query = np.full((1, DIMENSION), np.nan, dtype=np.float32)
    assert index.search(query, 3)[1].tolist() == [[-1, -1, -1]]
    assert index.search(query, 3, allowed=array([1, 2]))[1].tolist() == [[-1, -1, -1]]


def test_equal_scores_come_in_order_of_id() -> None:
    """The same vector under several ids, in several segments, comes out with the smallest id first."""
    index = FaissVectorIndex(DIMENSION)
    vector = unit_vectors(1)
    for number in (9, 3, 7):
        index.add(array([number]), vector)
    assert index.search(vector, 3)[1].tolist() == [[3, 7, 9]]


@pytest.mark.parametrize("shape", [(2, DIMENSION), (1, DIMENSION + 1), (DIMENSION,)])
def test_shapes_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    """One id needs one vector of the index's dimension; a query has to have it too."""
    index = FaissVectorIndex(DIMENSION)
    with pytest.raises(ValueError, match="dimension"):
        index.add(array([1]), np.zeros(shape, dtype=np.float32))
    with pytest.raises(ValueError, match="dimension"):
        index.search(np.zeros((1, DIMENSION + 1), dtype=np.float32), 1)
    with pytest.raises(ValueError, match="dimension"):
        index.scores(np.zeros(DIMENSION + 1, dtype=np.float32), array([1]))


def test_base_of_another_dimension_is_refused(tmp_path: Path) -> None:
    """A base can only serve vectors of its own dimension."""
    write_base(tmp_path, array([1]), unit_vectors(1), embedder="e@1", chunking="e/8/0", change_number=1)
    with pytest.raises(ValueError, match="dimension"):
        FaissVectorIndex(DIMENSION + 1, load_base(tmp_path))


def test_memory_of_what_is_removed_comes_back() -> None:
    """Adding and removing for long leaves no pile of dead rows or tiny segments."""
    index = FaissVectorIndex(DIMENSION)
    for start in range(0, 3000, 10):
        ids = np.arange(start, start + 10, dtype=np.int64)
        index.add(ids, unit_vectors(10, start))
        index.remove(ids[:-1] if start % 30 else ids)
    rows = sum(len(segment.ids) for segment in index._segments)
    assert len(index) == 200
    assert len(index._segments) == 1
    assert rows < 2 * len(index) + 10


def test_readers_never_see_half_a_replacement(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one thread replaces every vector, readers always find every id, each with a whole vector."""
    monkeypatch.setattr(faiss_index, "SEGMENT_ROWS", 64)
    count = 200
    ids = np.arange(count, dtype=np.int64)
    one_way = np.zeros((count, DIMENSION), dtype=np.float32)
    one_way[:, 0] = 1
    index = FaissVectorIndex(DIMENSION)
    index.add(ids, one_way)
    stop = threading.Event()

    def write() -> None:
        for turn in range(60):
            index.add(ids, -one_way if turn % 2 else one_way)
            index.remove(np.array([10_000 + turn]))
            index.add(np.array([10_000 + turn]), one_way[:1] * 0)
        stop.set()

    def read() -> int:
        searches = 0
        while not stop.is_set() or searches == 0:
            scores, found = index.search(one_way[:1], count + 100)
            old = found[0][(found[0] >= 0) & (found[0] < 10_000)]
            assert sorted(old.tolist()) == ids.tolist()
            assert set(scores[0][np.isin(found[0], ids)].tolist()) in ({1.0}, {-1.0})
            searches += 1
        return searches

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        pool.submit(write).result()
        assert all(reader.result() > 0 for reader in readers)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(ids=st.lists(st.integers(-(2**62), 2**62), unique=True, max_size=20))
def test_ids_may_be_any_integer(ids: list[int]) -> None:
    """Ids are 64 bits wide and lie anywhere."""
    index = FaissVectorIndex(DIMENSION)
    index.add(array(ids), unit_vectors(len(ids)))
    assert index.ids().tolist() == sorted(ids)
