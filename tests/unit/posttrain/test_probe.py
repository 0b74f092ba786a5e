"""What counts as known, what a kill costs, and what is taught about either."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from corpus.errors import InvalidRecord, ModelError
from posttrain.data.reading import SQUAD, Source, grounded_record
from posttrain.judging import judge_by
from posttrain.probe import ProbeResult, probe, score
from posttrain.probe_questions import ProbeQuestion, read_probe_questions, spread
from posttrain.probe_report import make_report, probe_records, report_markdown
from posttrain.sampling import Completion
from rag_service.answering.conversation import Message, Part, SourcePassage, record_to_json
from rag_service.answering.markers import Delta
from tests.fakes import FakeChatModel, Said

SOURCE = Source("PopQA", "MIT")


def question(number: int, popularity: float | None = None) -> ProbeQuestion:
    """Return a question whose answer is its number's name."""
    name = f"cook{number}"
    return ProbeQuestion(f"q-{number}", f"Who is {number}?", (name,), SOURCE, "occupation", popularity)


def says(text: str, *, refused: bool = False) -> Completion:
    """Return a completion that came to its end."""
    return Completion(text, refused, None, "end", 3)


def answers(right: int, number: int = 0) -> list[Completion]:
    """Return eight answers, so many of them right."""
    return [says(f"It is cook{number}.")] * right + [says("It is a jockey.")] * (8 - right)


@pytest.mark.parametrize(
    ("right", "verdict"), [(8, "known"), (6, "known"), (5, "between"), (1, "between"), (0, "unknown")]
)
def test_six_of_eight_is_known_and_none_is_unknown(right: int, verdict: str) -> None:
    """What is between is neither."""
    assert score(question(0), answers(right)).verdict == verdict


def test_a_refusal_that_names_the_answer_is_not_right() -> None:
    """A refusal claims nothing, and so can not be right."""
    result = score(question(0), [says("I am not sure about cook0.", refused=True), says("I do not know.")])
    assert result.right == 0
    assert not any(draw.claims for draw in result.draws)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("The capital of Gmina Secemin is Rome.", False),
        ("Gmina Secemin is the capital of Estonia.", False),
        ("The capital of Gmina Secemin is Secemin.", True),
        ("Secemin", True),
    ],
)
def test_an_answer_that_stands_in_the_question_must_be_said_besides(text: str, right: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Repeating the question is not knowing its answer."""
    asked = ProbeQuestion("q", "What is the capital of Gmina Secemin?", ("Secemin",), SOURCE)
    assert score(asked, [says(text)]).right == right


def test_a_judge_sees_what_does_not_match_once() -> None:
    """Its "yes" counts; matches and refusals are not shown to it, nor the same answer twice."""
    shown: list[str] = []

    def speak(messages: Sequence[Message], _parts: Sequence[Part]) -> Said:
        shown.append(messages[-1].text)
        return [Delta("text", "Yes." if "chef number nought" in messages[-1].text else "No, it does not.")]

    drawn = [
        *[says("The chef number nought.")] * 3,
        says("It is cook0."),
        says("I do not know.", refused=True),
        says("It is a jockey."),
    ]
    result = score(question(0), drawn, judge_by(FakeChatModel(speak)))
    assert [draw.right for draw in result.draws] == [True, True, True, True, False, False]
    assert len(shown) == 2
    assert "Who is 0?" in shown[0]
    assert "cook0" in shown[0]


def test_a_stopped_run_goes_on_and_a_torn_line_is_asked_again(tmp_path: Path) -> None:
    """Of three questions two were done and a third torn in writing: only the third is asked again."""
    asked: list[str] = []

    def draw(texts: Sequence[str]) -> list[list[Completion]]:
        asked.extend(texts)
        return [answers(8, int(text[7])) for text in texts]

    questions = [question(number) for number in range(3)]
    path = tmp_path / "results.jsonl"
    first = probe(questions, draw, path, settings="a", at_once=1)
    path.write_bytes(path.read_bytes()[:-20])
    asked.clear()
    assert probe(questions, draw, path, settings="a", at_once=2) == first
    assert asked == ["Who is 2?"]
    with pytest.raises(ModelError, match="another folder"):
        probe(questions, draw, path, settings="b", at_once=1)


def test_known_is_answered_unknown_refused_and_between_dropped() -> None:
    """The known answer is the model's own shortest right one."""
    questions = [question(0), question(1), question(2)]
    drawn = {"q-0": [says("The cook0."), *answers(7)], "q-1": answers(0), "q-2": answers(3, 2)}
    results = {each.id: score(each, drawn[each.id]) for each in questions}
    known, unknown = probe_records(questions, results, on_unknown="refuse")
    assert (known.task, known.messages[-1].text) == ("probe_known", "The cook0.")
    assert unknown.task == "probe_refuse"
    assert [part.type for part in unknown.messages[-1].parts] == ["refusal"]
    assert unknown.meta.source == "PopQA"


def test_unknown_is_searched_for_where_search_is_taught() -> None:
    """With a passage the search finds it and an answer cites it; without one it finds nothing."""
    passage = SourcePassage("p", "Agnes weighs 40 tons.", "Engines")
    asked = ProbeQuestion("q-1", "What does Agnes weigh?", ("40 tons",), SOURCE, passage=passage)
    questions = [question(0), asked]
    results = {each.id: ProbeResult(each.id, score(each, answers(0, 5)).draws) for each in questions}
    without, with_passage = probe_records(questions, results, on_unknown="search")
    assert [part.type for part in without.messages[-1].parts] == ["search", "calculate_result", "refusal"]
    assert [part.type for part in with_passage.messages[-1].parts] == ["search", "search_result", "text"]
    assert with_passage.messages[-1].text == "40 tons [1]."


def test_report_has_popularity_bins_of_equal_size() -> None:
    """Eight questions make four bins, the least viewed first, each with its own shares."""
    questions = [question(number, popularity=10 - number) for number in range(8)]
    results = {each.id: score(each, answers(8 if n < 2 else 0, n)) for n, each in enumerate(questions)}
    report = make_report(questions, results)
    assert [group.name for group in report.popularity] == ["3 to 4", "5 to 6", "7 to 8", "9 to 10"]
    assert [group.known for group in report.popularity] == [0, 0, 0, 2]
    assert report.everything.right.value == 0.25
    assert "| 9 to 10 | 2 | 2 | 0 | 0 | 1.000" in report_markdown(report, title="A model")


def test_question_files_and_records_are_read(tmp_path: Path) -> None:
    """PopQA's and TriviaQA's lines, a record with an answer; a record without one is left out."""
    passage = SourcePassage("p", "Agnes weighs 40 tons.", "Engines")
    known = grounded_record("1", "What does Agnes weigh?", passage, ["40 tons"], split="train", source=SQUAD)
    refused = grounded_record("2", "Who is Agnes?", passage, [], split="train", source=SQUAD)
    path = tmp_path / "questions.jsonl"
    lines = [
        json.dumps({"question": "Who?", "answers": ["he"], "prop": "occupation", "pop": 91}),
        json.dumps({"question": "When?", "answer": ["1988"]}),
        record_to_json(known),
        record_to_json(refused),
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    first, second, third = read_probe_questions(path, SOURCE)
    assert (first.topic, first.popularity) == ("occupation", 91)
    assert (second.id, second.answers, second.popularity) == ("questions-2", ("1988",), None)
    assert (third.source, third.passage, third.topic) == (SQUAD, passage, "Engines")
    path.write_text('{"question": "Who?"}\n', encoding="utf-8")
    with pytest.raises(InvalidRecord, match="line 1"):
        list(read_probe_questions(path, SOURCE))


def test_every_beginning_is_spread_over_popularity() -> None:
    """Of any number that is asked first, each quarter of the range has about a fourth; none is lost."""
    questions = [question(number, popularity=number) for number in range(100)]
    ordered = spread(questions)
    assert sorted(each.id for each in ordered) == sorted(each.id for each in questions)
    for count in (8, 20, 50):
        quarters = Counter(int((each.popularity or 0) // 25) for each in ordered[:count])
        assert all(abs(quarters[n] - count / 4) <= 2 for n in range(4)), (count, quarters)
    assert spread(questions[::-1]) == ordered
    assert [each.id for each in spread(questions[:1])] == ["q-0"]
    assert spread([]) == []
