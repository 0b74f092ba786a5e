"""`rag eval retrieval` over the documents that were taken in."""

import json
from pathlib import Path

from tests.workplace import Workplace

QUESTIONS = [
    {
        "id": "q1",
        "kind": "single",
        "question": "Who keeps the generators of the station?",
        "answerable": True,
        "answers": ["Orson Kovacs"],
        "gold_documents": ["guide.md"],
        "gold_quotes": ["Orson Kovacs keeps the generators of the station."],
    },
    {"id": "q2", "kind": "unanswerable", "question": "What is the capital?", "answerable": False},
]


def test_a_file_of_questions_is_searched_in_the_collection(tmp_path: Path) -> None:
    """Questions that name documents count, each way to search by itself; the rest is left out."""
    place = Workplace(tmp_path)
    place.write("guide.md", "# Guide\n\nOrson Kovacs keeps the generators of the station.\n")
    place.write("food.md", "# Food\n\nThe cook bakes bread.\n")
    assert place.rag("ingest", "documents").code == 0
    file = tmp_path / "set.jsonl"
    file.write_text("\n".join(map(json.dumps, QUESTIONS)))
    [report] = place.lines("eval", "retrieval", "--set", str(file))
    assert (report["set"], report["queries"]) == ("set.jsonl", 1)
    measured = {each["name"]: each["measures"]["MRR@10"]["value"] for each in report["scores"]}
    assert measured == {"dense": 1.0, "lexical": 1.0, "hybrid": 1.0}
    told = place.rag("eval", "retrieval", "--set", str(file), "--collection", "default")
    assert (told.code, "set.jsonl: 1 queries" in told.out) == (0, True)


def test_a_file_without_documents_is_wrong_usage(tmp_path: Path) -> None:
    """Nothing could be judged."""
    place = Workplace(tmp_path)
    file = tmp_path / "set.jsonl"
    file.write_text(json.dumps(QUESTIONS[1]))
    ended = place.rag("eval", "retrieval", "--set", str(file))
    assert (ended.code, "gold_documents" in ended.err) == (2, True)
