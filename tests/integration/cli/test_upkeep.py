"""`rag generations`, `rag reindex`, `rag compact`, `rag check`, `rag keys`, `rag jobs`."""

import json
import shutil
from pathlib import Path

import pytest

from tests.workplace import Workplace


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    """A workplace with two documents taken in."""
    made = Workplace(tmp_path)
    made.write("guide.md", "# Guide\n\nOrson Kovacs keeps the generators of the station.\n")
    made.write("rules.txt", "Nobody walks alone on the glacier after the evening bell.\n" * 20)
    assert made.rag("ingest", "documents").code == 0
    return made


def states(place: Workplace) -> list[tuple[object, object]]:
    """Return the state and the most tokens of each generation, newest first."""
    return [
        (each["state"], each["chunking"]["max_tokens"])  # type: ignore[index, call-overload]
        for each in place.lines("generations", "list")
    ]


def test_a_collection_moves_to_another_chunking_and_back(place: Workplace) -> None:
    """`rag reindex` builds and switches, `rag generations rollback` switches back; searches always find."""
    before = states(place)
    assert [state for state, _ in before] == ["active"]
    ended = place.rag("reindex", "--max-tokens", "40")
    assert ended.code == 0, ended.err
    assert states(place) == [("active", 40), ("retired", before[0][1])]
    assert place.lines("search", "who keeps the generators")[0]["data"]
    assert place.rag("generations", "rollback").code == 0
    assert states(place) == [("retired", 40), ("active", before[0][1])]
    assert place.lines("search", "who keeps the generators")[0]["data"]


def test_a_reindex_can_wait_for_its_promotion(place: Workplace) -> None:
    """With --manual the new generation is ready and does not serve before it is promoted."""
    ended = place.rag("reindex", "--max-tokens", "40", "--manual")
    assert ended.code == 0
    newest = place.lines("generations", "list")[0]
    assert newest["state"] == "ready"
    assert f"rag generations promote {newest['id']}" in ended.out
    assert place.rag("generations", "promote", str(newest["id"])).code == 0
    assert place.lines("generations", "list")[0]["state"] == "active"


def test_a_reindex_can_be_made_to_find_something(place: Workplace) -> None:
    """An index that misses the documents of an evaluation is thrown away; without any, it is an error."""
    line = {"id": "q", "kind": "single", "question": "who keeps the generators", "answerable": True}
    gold = {"answers": ["Orson"], "gold_documents": ["lost.md"], "gold_quotes": ["He does."]}
    place.write("questions.jsonl", json.dumps(line | gold))
    words = ("reindex", "--max-tokens", "40", "--evaluation", "documents/questions.jsonl")
    ended = place.rag(*words)
    assert (ended.code, "recall@10 of the new index is 0.000" in ended.out) == (1, True)
    assert place.rag(*words, "--least-recall", "0").code == 0
    place.write("questions.jsonl", json.dumps(line | {"answerable": False}))
    assert "1 to 1000 questions" in place.rag(*words).err


def test_compaction_makes_a_base(place: Workplace) -> None:
    """After `rag compact` the vectors are in the generation's base."""
    assert place.rag("compact").code == 0
    newest = place.lines("generations", "list")[0]
    assert newest["state"] == "active"
    assert newest["vector_count"]
    assert place.lines("search", "who keeps the generators")[0]["data"]


def test_what_is_damaged_is_found_and_mended(place: Workplace) -> None:
    """`rag check` tells of a lost base and ends with 1; with --repair everything agrees again."""
    assert place.rag("check", "--thorough").out == "Everything agrees.\n"
    place.rag("compact")
    generation = str(place.lines("generations", "list")[0]["id"])
    shutil.rmtree(place.data_dir / "generations" / generation)
    found = place.rag("check")
    assert found.code == 1
    assert generation in found.out
    assert "--repair" in found.err
    mended = place.rag("check", "--repair")
    assert generation in mended.out
    assert (mended.code, mended.out.splitlines()[-1]) == (0, "Everything agrees.")
    assert place.lines("search", "who keeps the generators")[0]["data"]


def test_a_backup_that_lacks_something_says_so(place: Workplace, tmp_path: Path) -> None:
    """Both ways work without the bytes of a lost file, and warn with the command that names it."""
    assert place.rag("backup", "whole.zip").err == ""
    next((place.data_dir / "originals").glob("??/*")).unlink()
    made = place.rag("backup", "backup.zip")
    assert (made.code, "lacks the bytes of 1 file" in made.err, "rag check" in made.err) == (0, True, True)
    (tmp_path / "new").mkdir()
    new = Workplace(tmp_path / "new")
    brought = new.rag("restore", str(place.folder / "backup.zip"))
    assert (brought.code, "bytes of 1 file" in brought.err, "rag check" in brought.err) == (0, True, True)
    assert new.lines("search", "who keeps the generators")[0]["data"]


def test_another_database_over_the_same_data_folder_is_refused(
    place: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its upkeep would remove what it does not know; a restore moves the folder over to it."""
    assert place.rag("backup", "backup.zip").code == 0
    monkeypatch.setenv("RAG_DATABASE_URL", f"sqlite:///{tmp_path / 'other.sqlite3'}")
    for command in (("migrate",), ("check",), ("documents", "list"), ("serve",)):
        refused = place.rag(*command)
        assert (refused.code != 0, "belongs to another database" in refused.err) == (True, True)
    brought = place.rag("restore", "backup.zip")
    assert (brought.code, "belonged to another database" in brought.err) == (0, True)
    assert place.lines("search", "who keeps the generators")[0]["data"]
    monkeypatch.delenv("RAG_DATABASE_URL")
    assert "belongs to another database" in place.rag("documents", "list").err


def test_jobs_are_listed_and_shown_with_their_failures(place: Workplace) -> None:
    """A failed document's reason is in its job; retrying queues it again."""
    place.write("empty.txt", "")
    place.rag("ingest", "documents")
    newest = place.lines("jobs", "list")[0]
    identity = str(newest["id"])
    assert newest["counts"]["failed"] == 1  # type: ignore[index, call-overload]
    shown = place.rag("jobs", "show", identity)
    assert "1 failed" in shown.out
    assert "empty.txt: " in shown.err
    assert place.rag("jobs", "retry", identity).out.startswith("1 documents")
    assert place.rag("jobs", "cancel", identity).code == 0
    assert place.rag("jobs", "watch", identity).code == 1
    assert "no failed documents" in place.rag("jobs", "retry", identity).out


def test_keys_are_made_listed_and_revoked(place: Workplace) -> None:
    """A key is shown once; the list has its name and scopes, and when it was revoked."""
    made = place.lines("keys", "create", "importer", "--scope", "documents:write")[0]
    assert str(made["key"]).startswith("rag_")
    listed = place.lines("keys", "list")[0]
    assert (listed["name"], listed["scopes"], listed["revoked_at"]) == ("importer", ["documents:write"], None)
    assert str(made["key"]) not in str(listed)
    assert place.rag("keys", "revoke", str(made["id"])).code == 0
    assert place.lines("keys", "list")[0]["revoked_at"]
    assert place.rag("keys", "create", "x", "--scope", "everything").code == 2
    assert place.lines("keys", "create")[0]["scopes"] == ["query"]  # nobody has to name it
