"""Inverted lists find what an exact search finds, and filters lose nothing."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from corpus.errors import IndexDamaged
from corpus.vector_index import generation_files, inverted_lists
from corpus.vector_index.faiss_index import FaissVectorIndex
from corpus.vector_index.generation_files import EXACT, MANIFEST, Manifest, load_base, write_base
from corpus.vector_index.inverted_lists import TARGET_RECALL, InvertedLists

COUNT, DIMENSION, FIRST_ID = 6000, 32, 1000
Vectors = NDArray[np.float32]


def clustered(count: int, seed: int) -> Vectors:
    """Return unit vectors around 40 centres, as real ones lie around topics."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(40, DIMENSION))
    vectors = centres[random.integers(0, 40, count)] + 0.7 * random.normal(size=(count, DIMENSION))
    return unit(vectors.astype(np.float32))


def unit(vectors: Vectors) -> Vectors:
    """Return the rows at length one."""
    rows: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return rows


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    """Return what is in the base, to float16."""
    return clustered(COUNT, 1).astype(np.float16).astype(np.float32)


@pytest.fixture(scope="module")
def folder(vectors: Vectors, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a base of inverted lists; id 1000 + i has vector i."""
    folder = tmp_path_factory.mktemp("generations") / "gen_1"
    write(folder, vectors, "ivf")
    return folder


def write(folder: Path, vectors: Vectors, index_type: str) -> Manifest:
    """Write a base, its rows out of order."""
    order = np.random.default_rng(3).permutation(len(vectors))
    return write_base(
        folder,
        FIRST_ID + order,
        vectors[order],
        embedder="fake@1",
        chunking="fake/64/8",
        change_number=1,
        index_type=index_type,
    )


def recall(found: NDArray[np.int64], queries: Vectors, vectors: Vectors) -> float:
    """Return the share of the exact 10 best that is found."""
    best = np.argsort(-(queries @ vectors.T), axis=1)[:, :10] + FIRST_ID
    return float(
        np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), best.tolist(), strict=True)])
    )


def test_recall_is_measured_and_reached(
    folder: Path, vectors: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest says how many cells are read; with these, new queries find what the target says."""
    monkeypatch.setattr(inverted_lists, "_SCAN_UP_TO", 0)
    base = load_base(folder, check_hashes=True)
    assert base.manifest.index_type == "ivf"
    assert base.manifest.measured
    assert base.manifest.measured.recall >= TARGET_RECALL
    queries = clustered(200, 2)
    _, found = FaissVectorIndex(DIMENSION, base).search(queries, 10)
    assert recall(found, queries, vectors) >= TARGET_RECALL - 0.02


def test_no_more_cells_are_read_than_it_takes(folder: Path) -> None:
    """With a step fewer cells the same questions would find less than the target says."""
    base = load_base(folder)
    assert base.exact is not None
    assert base.manifest.measured
    every = np.ones(COUNT, dtype=np.bool_)
    probes = base.manifest.measured.probes
    fewer = InvertedLists(base.index, base.exact, probes - 1 - probes // 20)
    shares = []
    for questions in inverted_lists._made_up_queries(base.exact):
        _, best = fewer.scan(questions, 10, every)
        _, found = fewer.look_up(questions, 10, every)
        hits = [len(set(a) & set(b)) for a, b in zip(found.tolist(), best.tolist(), strict=True)]
        shares.append(sum(hits) / best.size)
    assert min(shares) < TARGET_RECALL


def test_made_up_questions_lie_where_they_should(vectors: Vectors) -> None:
    """They have unit length and a cosine of 0.7 to a stored vector; vectors of zeros do no harm."""
    for questions in inverted_lists._made_up_queries(vectors.astype(np.float16)):
        np.testing.assert_allclose(np.linalg.norm(questions, axis=1), 1, atol=1e-4)
        assert ((questions @ vectors.T).max(axis=1) > 0.69).all()
    for questions in inverted_lists._made_up_queries(np.zeros((3, 4), dtype=np.float16)):
        assert np.isfinite(questions).all()


def test_an_odd_dimension(tmp_path: Path) -> None:
    """Dimensions that are not made of pairs get a code each, and are found as well."""
    vectors = unit(np.random.default_rng(1).normal(size=(500, 7)).astype(np.float32))
    write(tmp_path, vectors, "ivf")
    scores, _ = FaissVectorIndex(7, load_base(tmp_path)).search(vectors[:5], 1)
    np.testing.assert_allclose(scores, 1, atol=2e-3)


def test_scores_are_those_of_the_exact_vectors(
    folder: Path, vectors: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the bytes find is ranked by the stored vectors, best first."""
    monkeypatch.setattr(inverted_lists, "_SCAN_UP_TO", 0)
    queries = clustered(20, 4)
    scores, ids = FaissVectorIndex(DIMENSION, load_base(folder)).search(queries, 10)
    expected = np.take_along_axis(queries @ vectors.T, ids - FIRST_ID, axis=1)
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert (np.diff(scores, axis=1) <= 0).all()


@pytest.mark.parametrize("scan_up_to", [0, 20_000])
@pytest.mark.parametrize("kept", [1, 9, 60, 600, 5000])
def test_a_filter_finds_what_it_keeps(
    scan_up_to: int, kept: int, folder: Path, vectors: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However little a filter keeps, as much of it comes back as was asked for and is there."""
    monkeypatch.setattr(inverted_lists, "_SCAN_UP_TO", scan_up_to)
    index = FaissVectorIndex(DIMENSION, load_base(folder))
    rows = np.random.default_rng(kept).choice(COUNT, kept, replace=False)
    queries = clustered(20, 5)
    _, found = index.search(queries, 10, allowed=rows + FIRST_ID)
    assert np.isin(found[:, : min(kept, 10)], rows + FIRST_ID).all()
    best = rows[np.argsort(-(queries @ vectors[rows].T), axis=1)[:, : min(kept, 10)]] + FIRST_ID
    hits = [len(set(a) & set(b)) for a, b in zip(found.tolist(), best.tolist(), strict=True)]
    assert sum(hits) >= 0.95 * best.size


def test_later_vectors_and_deletions_count(folder: Path, vectors: Vectors) -> None:
    """What came after the base is found, what was removed from it is not."""
    index = FaissVectorIndex(DIMENSION, load_base(folder))
    query = vectors[5:6]
    index.remove(np.array([FIRST_ID + 5]))
    index.add(np.array([99_999]), query)
    scores, ids = index.search(query, 5)
    assert ids[0, 0] == 99_999
    assert FIRST_ID + 5 not in ids
    assert scores[0, 0] == pytest.approx(1, abs=1e-3)


def test_size_decides(vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself a small base is exact and a large one has lists."""
    monkeypatch.setattr(generation_files, "FLAT_UP_TO", 1000)
    assert write(tmp_path / "small", vectors[:1000], "auto").index_type == "flat"
    assert write(tmp_path / "large", vectors[:1001], "auto").index_type == "ivf"
    assert write(tmp_path / "told", vectors[:1001], "flat").index_type == "flat"
    assert not (tmp_path / "told" / EXACT).exists()


def test_a_handful_can_have_lists(vectors: Vectors, tmp_path: Path) -> None:
    """Lists over fewer vectors than a cell wants are one cell."""
    write(tmp_path / "few", vectors[:3], "ivf")
    _, ids = FaissVectorIndex(DIMENSION, load_base(tmp_path / "few")).search(vectors[:1], 5)
    assert sorted(ids[0].tolist()) == [-1, -1, 1000, 1001, 1002]


def test_lists_without_their_vectors_are_damaged(vectors: Vectors, tmp_path: Path) -> None:
    """A base whose exact vectors are gone is refused, with what to do."""
    write(tmp_path, vectors[:100], "ivf")
    (tmp_path / EXACT).unlink()
    with pytest.raises(IndexDamaged, match="repair"):
        load_base(tmp_path)


def test_a_manifest_that_lacks_the_measured(vectors: Vectors, tmp_path: Path) -> None:
    """A manifest of lists that does not say how to read them is refused."""
    write(tmp_path, vectors[:100], "ivf")
    file = tmp_path / MANIFEST
    file.write_text(file.read_text().replace('"ivf"', '"flat"'))
    with pytest.raises(IndexDamaged, match="manifest"):
        load_base(tmp_path)
