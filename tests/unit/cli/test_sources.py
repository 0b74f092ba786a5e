"""Which documents `rag ingest` means by its paths."""

import errno
import gzip
import io
import json
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from corpus.errors import DamagedDocument, InvalidRequest, TooLarge
from rag_service.cli.sources import check_paths, check_size, find_sources, parts_of
from rag_service.sources.archives import DAMAGED
from rag_service.sources.source import Source

NOWHERE = Path("/nowhere")
LIMIT = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with files, hidden files, folders, hidden folders and our own data."""
    for name in ("b.md", "a.txt", ".hidden", "inner/c.md", "inner/deep/d.md", ".git/config", "rag-data/x"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def walk(*paths: Path) -> Iterator[Source]:
    """Yield what the paths mean; each is to be read before the next one."""
    return find_sources(paths, recursive=True, leave_out=NOWHERE)


def sources(*paths: Path) -> list[Source]:
    """Return what the paths mean."""
    return list(walk(*paths))


def names(*paths: Path, recursive: bool = True, leave_out: Path = NOWHERE) -> list[str | None]:
    """Return the external ids of what is found, after the check."""
    check_paths(paths, recursive=recursive, leave_out=leave_out)
    return [each.external_id for each in find_sources(paths, recursive=recursive, leave_out=leave_out)]


def content(source: Source) -> bytes:
    """Return a source's bytes."""
    data = source.open(most_bytes=LIMIT)
    return data if isinstance(data, bytes) else b"".join(data())


def test_a_folder_that_can_not_be_opened_is_a_failure(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named as one; the rest is taken in. Without that, nobody would miss its files."""
    look_into = os.scandir

    def refuse(path: str) -> object:
        if Path(path).name == "deep":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return look_into(path)

    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr(os, "access", lambda path, _: Path(path).name != "deep")
    assert names(folder / "inner") == ["c.md", "deep"]
    closed = sources(folder / "inner")[-1]
    with pytest.raises(DamagedDocument, match="The folder can not be opened"):
        closed.open(most_bytes=LIMIT)


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


def test_a_file_named_twice_is_no_conflict(folder: Path) -> None:
    """The same file under the same id is no conflict: its bytes are known the second time."""
    assert names(folder / "a.txt", folder / "a.txt") == ["a.txt", "a.txt"]


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


def test_a_pattern_means_the_files_that_fit(folder: Path) -> None:
    """Where the shell leaves a pattern, ids are relative to its fixed part."""
    assert names(folder / "inner" / "**" / "*.md") == ["c.md", "deep/d.md"]
    with pytest.raises(InvalidRequest, match="pdf"):
        names(folder / "*.pdf")


def test_a_zip_archive_means_its_members(tmp_path: Path) -> None:
    """Each file in it is a document under its path there; folders, links and hidden files are none."""
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("a.txt", "inner/b.md", "inner/", ".hidden", "__MACOSX/a.txt"):
            archive.writestr(name, name)
        link = zipfile.ZipInfo("link.txt")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    found = [(each.external_id, each.filename, content(each)) for each in walk(path)]
    assert found == [("a.txt", "a.txt", b"a.txt"), ("inner/b.md", "b.md", b"inner/b.md")]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_a_tar_archive_means_its_members(tmp_path: Path, mode: str) -> None:
    """Compressed or not, members are read in the archive's order; links are left out."""
    path = tmp_path / f"all.tar{mode[1:].replace(':', '.')}"
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name in ("./a.txt", "inner/b.md"):
            member = tarfile.TarInfo(name)
            member.size = len(name)
            archive.addfile(member, io.BytesIO(name.encode()))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    found = [
        (each.external_id, content(each)) for each in find_sources([path], recursive=True, leave_out=NOWHERE)
    ]
    assert found == [("a.txt", b"./a.txt"), ("inner/b.md", b"inner/b.md")]


def test_a_damaged_archive_gives_what_can_be_read_and_a_problem(tmp_path: Path) -> None:
    """What is no archive, and a member whose bytes changed, are errors of their own."""
    (tmp_path / "no.zip").write_text("not a zip")
    [broken] = sources(tmp_path / "no.zip")
    with pytest.raises(DamagedDocument, match="archive"):
        broken.open(most_bytes=LIMIT)
    path = tmp_path / "flipped.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("good.txt", "good")
        archive.writestr("bad.txt", "these bytes change")
    path.write_bytes(path.read_bytes().replace(b"these bytes", b"those bytes"))
    found = walk(path)
    assert content(next(found)) == b"good"
    bad = next(found)
    with pytest.raises(DAMAGED):
        bad.open(most_bytes=LIMIT)


@pytest.mark.parametrize("name", ["all.zip", "all.tar.gz"])
def test_a_large_member_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """It can be read again and again until the next one is asked for, yet the archive is read once."""
    path = tmp_path / name
    large = {f"{number}.txt": (b"%d " % number) * LIMIT for number in range(4)}
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            for member, data in large.items():
                archive.writestr(member, data)
    else:
        with tarfile.open(path, "w:gz", compresslevel=1) as packed:
            for member, data in large.items():
                header = tarfile.TarInfo(member)
                header.size = len(data)
                packed.addfile(header, io.BytesIO(data))
    read = 0
    original = zipfile.ZipExtFile.read, gzip.GzipFile.read

    def count(whole: bytes) -> bytes:
        nonlocal read
        read += len(whole)
        return whole

    monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda *given: count(original[0](*given)))
    monkeypatch.setattr(gzip.GzipFile, "read", lambda *given: count(original[1](*given)))
    for source in walk(path):
        opened = source.open(most_bytes=2 * LIMIT)
        assert not isinstance(opened, bytes)
        next(opened())  # a reading that was broken off
        assert b"".join(opened()) == b"".join(opened()) == large[source.label]
    assert read < 9 * LIMIT


def misnamed_zip() -> bytes:
    """Return an archive with a name that claims to be UTF-8 and is not."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("é.txt", "words")
    return buffer.getvalue().replace("é".encode(), b"\xff\xfe")


def nameless_zip() -> bytes:
    """Return an archive with a member that has no name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "words")
    return buffer.getvalue().replace(b"a.txt", b"\0.txt")


def misshapen_tar() -> bytes:
    """Return an archive with a map of holes that is none."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("a.txt")
        member.pax_headers = {"GNU.sparse.map": "0,x", "GNU.sparse.size": "5"}
        archive.addfile(member)
    return buffer.getvalue()


def immense_tar() -> bytes:
    """Return an archive with a name that is longer than any memory."""
    member = tarfile.TarInfo("a.txt")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 1 << 80
    return member.tobuf(tarfile.GNU_FORMAT) + bytes(1024)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("a.zip", misnamed_zip),
        ("a.zip", nameless_zip),
        ("a.tar", misshapen_tar),
        ("a.tar", immense_tar),
    ],
)
def test_an_archive_that_trips_its_module_is_damaged(
    tmp_path: Path, name: str, make: Callable[[], bytes]
) -> None:
    """Whatever the standard library raises on an archive's bytes is a problem of that archive alone."""
    (tmp_path / name).write_bytes(make())
    (tmp_path / "good.txt").write_text("good")
    damaged, good = walk(tmp_path / name, tmp_path / "good.txt")
    assert damaged.label == name
    assert "archive" in (damaged.problem or "")
    assert content(good) == b"good"


def test_a_member_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    """A small archive with a huge member does not reach the memory."""
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.txt", b"0" * (LIMIT + 1))
    [bomb] = sources(path)
    with pytest.raises(TooLarge):
        bomb.open(most_bytes=LIMIT)


@pytest.mark.parametrize("before", [b"", b"\n"])
def test_a_byte_order_mark_before_lines_of_json_is_left_out(tmp_path: Path, before: bytes) -> None:
    """Windows programs begin a file with it; it is neither a part of the first record nor a line."""
    path = tmp_path / "all.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + before + b'{"text": "one"}\n{"text": "two"}\n')
    assert [content(each) for each in sources(path)] == [b"one", b"two"]


def test_lines_of_json_are_documents(tmp_path: Path) -> None:
    """Each line's fields go along; a line that does not fit is an error of its own, and says where."""
    record = {"text": "Orson Kovacs", "title": "Crew", "external_id": "crew", "metadata": {"year": 2026}}
    path = tmp_path / "all.jsonl"
    path.write_text(f'{json.dumps(record)}\n\n{{"text": 7}}\nnonsense\n{json.dumps({"text": "plain"})}\n')
    crew, number, nonsense, plain = sources(path)
    upload = crew.upload("col_1")
    assert (upload.title, upload.external_id, upload.metadata) == ("Crew", "crew", {"year": 2026})
    assert content(crew) == b"Orson Kovacs"
    assert number.problem
    assert "text" in number.problem
    assert "line 4" in nonsense.label
    assert nonsense.problem
    assert content(plain) == b"plain"
    assert plain.external_id is None
