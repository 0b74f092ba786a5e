"""`rag ingest` of archives and lines of JSON."""

import json
import zipfile
from pathlib import Path

from tests.workplace import Workplace


def test_an_archive_and_its_bad_members(tmp_path: Path) -> None:
    """Members are documents under their paths; one that changed since is a failure of its own."""
    place = Workplace(tmp_path)
    path = place.documents / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("handbook/guide.md", "# Guide\n\nOrson Kovacs keeps the generators.\n")
        archive.writestr("bad.txt", "these bytes change")
        archive.writestr("large.txt", "The bell rings at seven.\n" * 100_000)
    path.write_bytes(path.read_bytes().replace(b"these bytes", b"those bytes"))
    ended = place.rag("ingest", "documents/all.zip")
    assert ended.code == 1
    assert "2 read, 0 known already, 1 failed" in ended.out
    assert "bad.txt: " in ended.err
    assert set(place.listed()) == {"handbook/guide.md", "large.txt"}


def test_records_keep_their_fields_and_their_text(tmp_path: Path) -> None:
    """A line's title, id, metadata and collection go along; its text comes back as it was."""
    place = Workplace(tmp_path)
    place.rag("collections", "create", "rules")
    records = [
        {"text": " Orson Kovacs.\r\n", "title": "Crew", "external_id": "crew", "metadata": {"year": 2026}},
        {"text": "Nobody walks alone.", "external_id": "rule 1", "collection": "rules"},
        {"text": "No collection has this name.", "collection": "ruels"},
    ]
    place.write("all.jsonl", "\n".join(map(json.dumps, records)))
    ended = place.rag("ingest", "documents/all.jsonl")
    assert "2 read, 0 known already, 1 failed" in ended.out
    found = place.listed()
    assert found["crew"]["metadata"] == {"year": 2026}
    assert found["crew"]["title"] == "Crew"
    assert found["rule 1"]["collection"] == "rules"
    assert place.rag("documents", "show", "crew", "--text").out == " Orson Kovacs.\r\n"
