"""A generation's files are whole or refused; stored vectors keep their bytes."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from corpus.errors import IndexDamaged
from corpus.vector_index.encoding import decode_vectors, encode_vector, widen
from corpus.vector_index.generation_files import IDS, MANIFEST, VECTORS, load_base, write_base


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a base of three vectors, its ids out of order."""
    folder = tmp_path / "gen_1"
    vectors = np.eye(4, dtype=np.float32)[:3]
    write_base(
        folder,
        np.array([30, 10, 20], dtype=np.int64),
        vectors,
        embedder="fake@1",
        chunking="fake/64/8",
        change_number=7,
    )
    return folder


def test_what_is_written_is_read(folder: Path) -> None:
    """A base comes back with its vectors under their ids and its manifest."""
    base = load_base(folder, check_hashes=True)
    assert base.ids.tolist() == [10, 20, 30]
    np.testing.assert_array_equal(base.index.reconstruct_batch(np.arange(3)), np.eye(4)[[1, 2, 0]])
    manifest = base.manifest
    assert (manifest.embedder, manifest.chunking, manifest.change_number) == ("fake@1", "fake/64/8", 7)
    assert (manifest.count, manifest.dimension, manifest.index_type) == (3, 4, "flat")


def test_a_second_write_replaces_the_first(folder: Path) -> None:
    """An interrupted build can simply be run again."""
    (folder / MANIFEST).unlink()
    write_base(
        folder,
        np.array([5], dtype=np.int64),
        np.ones((1, 4), dtype=np.float32),
        embedder="fake@1",
        chunking="fake/64/8",
        change_number=8,
    )
    assert load_base(folder, check_hashes=True).ids.tolist() == [5]


def test_a_reader_keeps_the_base_that_it_opened(folder: Path) -> None:
    """Writing a base again does not change the vectors of a process that has the old one mapped."""
    opened = load_base(folder)
    write_base(
        folder,
        np.array([1], dtype=np.int64),
        np.zeros((1, 4), dtype=np.float32),
        embedder="fake@1",
        chunking="fake/64/8",
        change_number=8,
    )
    np.testing.assert_array_equal(opened.index.reconstruct_batch(np.arange(3)), np.eye(4)[[1, 2, 0]])


def test_an_empty_base_is_a_base(tmp_path: Path) -> None:
    """A collection without chunks can be published."""
    write_base(
        tmp_path,
        np.empty(0, dtype=np.int64),
        np.empty((0, 4), dtype=np.float32),
        embedder="fake@1",
        chunking="fake/64/8",
        change_number=1,
    )
    assert load_base(tmp_path).index.ntotal == 0


@pytest.mark.parametrize("name", [VECTORS, IDS, MANIFEST])
def test_a_missing_file_is_noticed(folder: Path, name: str) -> None:
    """Without any one of its files the base is damaged, not empty."""
    (folder / name).unlink()
    with pytest.raises(IndexDamaged, match="gen_1"):
        load_base(folder)


@pytest.mark.parametrize("name", [VECTORS, IDS, MANIFEST])
def test_a_file_cut_short_is_noticed(folder: Path, name: str) -> None:
    """A file that lost its end is noticed without reading it through."""
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(IndexDamaged, match="gen_1"):
        load_base(folder)


@pytest.mark.parametrize("name", [VECTORS, IDS])
def test_a_changed_byte_is_noticed_by_the_hashes(folder: Path, name: str) -> None:
    """One flipped bit is found when the hashes are checked."""
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    load_base(folder)
    with pytest.raises(IndexDamaged, match="changed"):
        load_base(folder, check_hashes=True)


@pytest.mark.parametrize(
    ("was", "became"), [(b"}", b"("), (b"<i8", b"<f8"), (b"(3,)", b"(3,1"), (b"{", b"\0")]
)
def test_a_damaged_header_is_noticed(folder: Path, was: bytes, became: bytes) -> None:
    """Without the hashes, too: whatever the library raises, or takes for something else."""
    whole = (folder / IDS).read_bytes()
    (folder / IDS).write_bytes(whole.replace(was, became, 1))
    with pytest.raises(IndexDamaged):
        load_base(folder)


@pytest.mark.parametrize(
    "change",
    [{"count": 4}, {"dimension": 5}, {"format": 2}, {"files": {}}, {"files": []}, {"odd": 1}],
)
def test_a_manifest_that_does_not_fit_is_noticed(folder: Path, change: dict[str, object]) -> None:
    """Counts, format and fields of the manifest have to fit the files and this version."""
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | change))
    with pytest.raises(IndexDamaged, match="gen_1"):
        load_base(folder)


def test_files_that_are_something_else_are_noticed(folder: Path) -> None:
    """Files of the right size that FAISS can not read are damage, not a crash."""
    (folder / VECTORS).write_bytes(b"x" * (folder / VECTORS).stat().st_size)
    with pytest.raises(IndexDamaged, match="can not be read"):
        load_base(folder)


@given(arrays.arrays(np.float32, (3, 5), elements=st.floats(-1, 1, width=16)))
def test_half_precision_numbers_survive(vectors: np.ndarray) -> None:
    """Numbers that float16 has come back exactly, two little-endian bytes each."""
    stored = [encode_vector(vector) for vector in vectors]
    assert all(len(item) == 10 for item in stored)
    np.testing.assert_array_equal(decode_vectors(stored, 5), vectors)


def test_every_finite_half_is_widened_exactly() -> None:
    """All 63,488 finite numbers of float16 become the same numbers in float32, signs of zeros too."""
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    finite = halves[np.isfinite(halves)]
    widened = widen(finite)
    np.testing.assert_array_equal(widened.view(np.uint32), finite.astype(np.float32).view(np.uint32))


def test_bytes_are_little_endian() -> None:
    """The stored form does not depend on the machine: 1.0 is 00 3c."""
    assert encode_vector(np.ones(1, dtype=np.float32)) == b"\x00\x3c"


def test_no_vectors() -> None:
    """Nothing stored is an empty array of the right width."""
    assert decode_vectors([], 5).shape == (0, 5)


def test_a_vector_of_another_length_is_damage() -> None:
    """Bytes that are not the dimension's are never cut or joined to their neighbours."""
    with pytest.raises(IndexDamaged, match="5 numbers"):
        decode_vectors([b"\0" * 8, b"\0" * 12], 5)
