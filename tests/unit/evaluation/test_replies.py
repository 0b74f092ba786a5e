"""Replies outlive the evaluation that asked for them."""

from pathlib import Path

from rag_service.answering.conversation import user
from rag_service.evaluation.answers import Citation, Mode, Reply
from rag_service.evaluation.questions import Question
from rag_service.evaluation.replies import kept_replies

QUESTION = Question("q1", "single", (user("Who keeps them?"),), ("Orson Kovacs",))
REPLY = Reply("Orson Kovacs [1].", refused=False, citations=(Citation(0, 17, "people", "…"),), seconds=0.5)


class Asked:
    """Replies always the same, and counts."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, _question: Question, _mode: Mode) -> Reply:
        """Reply."""
        self.times += 1
        return REPLY


def test_a_second_run_asks_nothing_again(tmp_path: Path) -> None:
    """Replies come from the file, whole."""
    asked = Asked()
    first, second = (kept_replies(asked, tmp_path / "replies.jsonl") for _ in range(2))
    assert first(QUESTION, "always") == REPLY
    again = kept_replies(asked, tmp_path / "replies.jsonl")
    assert again(QUESTION, "always") == REPLY
    assert asked.times == 1
    second(QUESTION, "never")
    assert asked.times == 2


def test_another_question_under_the_same_id_is_asked(tmp_path: Path) -> None:
    """The text counts too."""
    asked = Asked()
    kept_replies(asked, tmp_path / "replies.jsonl")(QUESTION, "always")
    changed = Question("q1", "single", (user("Who kept them?"),), ("Orson Kovacs",))
    kept_replies(asked, tmp_path / "replies.jsonl")(changed, "always")
    assert asked.times == 2


def test_a_line_that_was_cut_off_is_asked_again(tmp_path: Path) -> None:
    """What a killed run left half written does no harm, then or later."""
    asked, path = Asked(), tmp_path / "replies.jsonl"
    kept_replies(asked, path)(QUESTION, "always")
    path.write_text(path.read_text() + '{"key": ["q1", "Who k')
    kept_replies(asked, path)(QUESTION, "never")
    again = kept_replies(asked, path)
    assert [again(QUESTION, mode) for mode in ("always", "never")] == [REPLY, REPLY]
    assert asked.times == 2
