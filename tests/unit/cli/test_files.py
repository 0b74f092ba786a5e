"""Which files `rag ingest` means by its paths."""

from pathlib import Path

import pytest

from corpus.errors import InvalidRequest, TooLarge
from rag_service.cli.files import check_size, find_files, parts_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with files, hidden files, folders, hidden folders and our own data."""
    for name in ("b.md", "a.txt", ".hidden", "inner/c.md", "inner/deep/d.md", ".git/config", "rag-data/x"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def names(*paths: Path, recursive: bool = True, leave_out: Path = Path("/nowhere")) -> list[str]:
    """Return the external ids of the files that are found."""
    return [file.external_id for file in find_files(paths, recursive=recursive, leave_out=leave_out)]


def test_a_folder_means_its_files_by_relative_path(folder: Path) -> None:
    """External ids are relative to the named folder; hidden files and our own data are left out."""
    found = names(folder, leave_out=folder / "rag-data")
    assert found == ["a.txt", "b.md", "inner/c.md", "inner/deep/d.md"]


def test_without_recursion_folders_inside_are_left_out(folder: Path) -> None:
    """Only the named folder's own files are taken."""
    assert names(folder, recursive=False) == ["a.txt", "b.md"]


def test_a_file_means_itself_under_its_name(folder: Path) -> None:
    """A file that is named gets its bare name, hidden or not."""
    assert names(folder / "inner" / "c.md", folder / ".hidden") == ["c.md", ".hidden"]


def test_a_file_named_twice_is_taken_once(folder: Path) -> None:
    """The same file under the same id is no conflict."""
    assert names(folder / "a.txt", folder / "a.txt") == ["a.txt"]


def test_two_files_of_one_id_are_refused(folder: Path) -> None:
    """Two folders with a file of the same relative path would overwrite each other."""
    (folder / "other").mkdir()
    (folder / "other" / "c.md").write_text("another")
    with pytest.raises(InvalidRequest, match=r"c\.md"):
        names(folder / "inner", folder / "other")


def test_what_does_not_exist_is_named(folder: Path) -> None:
    """A path that is not there, and a folder without files, are wrong usage."""
    with pytest.raises(InvalidRequest, match="missing"):
        names(folder / "missing")
    (folder / "empty").mkdir()
    with pytest.raises(InvalidRequest, match="empty"):
        names(folder / "empty")


def test_a_loop_of_links_ends(folder: Path) -> None:
    """Links to folders are not followed."""
    (folder / "inner" / "loop").symlink_to(folder)
    assert names(folder / "inner") == ["c.md", "deep/d.md"]


def test_a_file_is_read_in_parts_and_can_be_read_again(folder: Path) -> None:
    """Each call opens the file anew."""
    parts = parts_of(folder / "a.txt")
    assert b"".join(parts()) == b"".join(parts()) == b"a.txt"


def test_a_large_file_is_refused_before_it_is_read(folder: Path) -> None:
    """The limit is told by the setting's name."""
    with pytest.raises(TooLarge, match="RAG_MAX_UPLOAD_MB"):
        check_size(folder / "a.txt", most_bytes=3)
