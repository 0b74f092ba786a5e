"""`rag ingest` and what can be done with documents afterwards, as programs of their own."""

import signal
from pathlib import Path

import pytest

from tests.workplace import Workplace


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    """A workplace with three documents in two folders."""
    made = Workplace(tmp_path)
    made.write("guide.md", "# Guide\n\nOrson Kovacs keeps the generators of the station.\n")
    made.write("inner/rules.txt", "Nobody walks alone on the glacier after the evening bell.\n")
    made.write("inner/kitchen.html", "<h1>Kitchen</h1><p>Ilse Brandt bakes bread every Tuesday.</p>")
    return made


def test_a_folder_is_taken_in_and_found(place: Workplace) -> None:
    """After `rag ingest` each file is a document under its relative path, and searches find it."""
    ended = place.rag("ingest", "documents")
    assert (ended.code, ended.err) == (0, "")
    assert "3 read, 0 known already, 0 failed" in ended.out
    found = place.listed()
    assert set(found) == {"guide.md", "inner/rules.txt", "inner/kitchen.html"}
    assert {each["status"] for each in found.values()} == {"ready"}
    best = place.lines("search", "who keeps the generators")[0]["data"][0]  # type: ignore[index]
    assert best["external_id"] == "guide.md"


def test_again_it_skips_replaces_and_adds(place: Workplace) -> None:
    """The same bytes are no work; other bytes under the same path are a new version; new files are new."""
    place.rag("ingest", "documents")
    before = place.listed()
    place.write("inner/rules.txt", "Nobody walks alone on the glacier at all.\n")
    place.write("new.md", "# New\n\nThe radio room is on the first floor.\n")
    ended = place.rag("ingest", "documents")
    assert "2 read, 2 known already, 0 failed" in ended.out
    after = place.listed()
    assert after["inner/rules.txt"]["id"] == before["inner/rules.txt"]["id"]
    assert {name: each["version"] for name, each in after.items()} == {
        "guide.md": 1,
        "inner/rules.txt": 2,
        "inner/kitchen.html": 1,
        "new.md": 1,
    }


def test_a_bad_file_fails_with_its_reason_and_the_rest_goes_on(place: Workplace) -> None:
    """An empty file, and a broken PDF, end as errors of their own; the exit code says that some failed."""
    place.write("empty.txt", "")
    place.write("broken.pdf", b"%PDF-1.7\nnot a PDF at all")
    ended = place.rag("ingest", "documents")
    assert ended.code == 1
    assert "3 read, 0 known already, 2 failed" in ended.out
    assert "empty.txt: " in ended.err
    assert "broken.pdf: " in ended.err


def test_progress_is_json_lines_for_programs(place: Workplace) -> None:
    """With --json each line is the job, and the last one says that it has ended."""
    lines = place.lines("ingest", "documents")
    assert lines[-1]["status"] == "completed"
    assert lines[-1]["counts"]["done"] == 3  # type: ignore[index, call-overload]


def test_work_can_be_left_to_others(place: Workplace) -> None:
    """With --no-follow documents wait; the next `rag ingest` of the same folder reads them."""
    ended = place.rag("ingest", "documents", "--no-follow")
    assert ended.code == 0
    assert "3 waiting" in ended.out
    assert {each["status"] for each in place.listed().values()} == {"pending"}
    again = place.rag("ingest", "documents")
    assert again.code == 0
    assert "3 known already, 0 failed, 3 read that an earlier run had left" in again.out
    assert {each["status"] for each in place.listed().values()} == {"ready"}


def test_documents_are_shown_replaced_and_deleted(place: Workplace) -> None:
    """A document is named by its id or its path; its text comes back; deleting needs --yes here."""
    place.rag("ingest", "documents")
    assert "Ilse Brandt bakes bread" in place.rag("documents", "show", "inner/kitchen.html", "--text").out
    new = place.write("../new.txt", "Everybody walks in pairs.\n")
    assert place.rag("documents", "replace", "inner/rules.txt", str(new)).code == 0
    assert place.rag("documents", "show", "inner/rules.txt", "--text").out == "Everybody walks in pairs.\n"
    [same] = place.lines("documents", "replace", "inner/rules.txt", str(new))
    assert (same["document"]["external_id"], same["job"]) == ("inner/rules.txt", None)  # type: ignore[index, call-overload]
    refused = place.rag("documents", "delete", "guide.md")
    assert refused.code == 1
    assert "--yes" in refused.err
    assert place.rag("documents", "delete", "guide.md", "--yes").code == 0
    assert "guide.md" not in place.listed()
    assert place.rag("documents", "show", "guide.md").code == 1


def test_collections_do_not_mix(place: Workplace) -> None:
    """What goes into one collection is not found in another, and goes with it when it is deleted."""
    assert place.rag("collections", "create", "rules", "--max-tokens", "48").code == 0
    assert place.rag("ingest", "documents/inner", "--collection", "rules").code == 0
    assert place.rag("ingest", "documents/guide.md").code == 0
    found = place.lines("search", "bread", "--collection", "rules")[0]["data"]
    assert {each["external_id"] for each in found} == {"rules.txt", "kitchen.html"}  # type: ignore[index, union-attr]
    assert place.rag("collections", "delete", "rules", "--yes").code == 0
    assert set(place.listed()) == {"guide.md"}
    unknown = place.rag("ingest", "documents", "--collection", "ruels")
    assert unknown.code == 1
    assert "collections" in unknown.err


def test_ctrl_c_says_how_to_go_on(place: Workplace) -> None:
    """An interrupted run ends with 130 and a hint, and the next one finishes the work."""
    # A shell's background jobs ignore Ctrl-C and hand that on; the program under test must not get it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in range(500):
        place.write(f"many/{number}.txt", f"Sledge number {number} has {number * 3} metres of rope.\n" * 40)
    process = place.start("ingest", "documents")
    signal.signal(signal.SIGINT, before)
    assert process.stdout
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "same command" in err
    assert place.rag("ingest", "documents").code == 0
    found = place.listed()
    assert len(found) == 503
    assert {(each["status"], each["version"]) for each in found.values()} == {("ready", 1)}
