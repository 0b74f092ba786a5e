"""The data of a short run: excerpts, search questions, definitions, follow-ups, sums, facts."""

import re
from random import Random

from posttrain.data.distractors import PassagePool
from posttrain.data.excerpts import Excerpting, excerpt, in_excerpts
from posttrain.data.facts import known_facts
from posttrain.data.more_reading import (
    closed_book,
    follow_ups,
    import_definitions,
    import_halueval,
    import_qed,
    sentence_with,
)
from posttrain.data.reading import SQUAD, grounded_record
from posttrain.data.sums import sum_records
from posttrain.data.word_problems import word_problems
from rag_service.answering.calculator import calculate
from rag_service.answering.conversation import Record, SourcePassage
from rag_service.evaluation.measures import contains_gold

TEXT = " ".join(f"Sentence number {n} says that the tower has {n * 7} steps." for n in range(1, 40))
RANDOM = Random(2)  # noqa: S311 - no secret


def answered(number: int, answer: str) -> Record:
    """Return a record over the tower's text."""
    passage = SourcePassage("p", TEXT, "Tower")
    return grounded_record(f"r{number}", f"Steps {number}?", passage, [answer], split="train", source=SQUAD)


def test_an_excerpt_is_short_and_holds_the_answer() -> None:
    """Whatever is drawn, the sentence with the answer stays, and the text is a piece of the passage."""
    passage, random = SourcePassage("p", TEXT, "Tower"), Random(1)  # noqa: S311 - no secret
    for _ in range(20):
        cut = excerpt(passage, ("133 steps",), Excerpting(whole=0.0), random)
        assert "133 steps" in cut.text
        assert cut.text in TEXT
        assert len(cut.text.split()) < 120


def test_without_its_gold_passage_a_record_refuses() -> None:
    """Near misses alone never get the answer as their target."""
    others = [
        grounded_record(
            f"o{n}",
            "?",
            SourcePassage(f"o{n}", f"The mill {n} is old. It is big.", "Mill"),
            ["old"],
            split="train",
            source=SQUAD,
        )
        for n in range(9)
    ]
    record = answered(1, "133 steps")
    made = in_excerpts(record, PassagePool([record, *others]), Excerpting(), RANDOM, loses_gold=True)
    assert made is not None
    assert (made.task, made.meta.gold) == ("rag_refuse", ())
    assert made.messages[-1].parts[-1].type == "refusal"
    assert not any("Tower" in each.title for each in made.messages[-1].parts[1].passages)


def test_search_questions_come_in_both_forms() -> None:
    """As they were typed, and as a sentence."""
    rows = [
        {
            "id": f"q{n}",
            "title": "Toes",
            "question": "what is syndactyly",
            "sentences": ["Webbed toes."],
            "answers": ["Webbed toes"],
        }
        for n in range(2)
    ]
    assert [record.messages[0].text for record in import_qed(rows)] == [
        "what is syndactyly",
        "What is syndactyly?",
    ]


def test_two_passages_are_both_cited() -> None:
    """Each of them is gold."""
    row = {
        "id": "h1",
        "passages": ["Ann (1900) was a poet.", "Bob was her brother."],
        "question": "Whose brother was Bob?",
        "answer": "Ann",
    }
    (record,) = import_halueval([row])
    assert record.messages[-1].text == "Ann [1][2]."
    assert [passage.title for passage in record.messages[-1].parts[1].passages] == ["Ann", "Bob"]
    assert record.meta.gold_passages == ("h1-0", "h1-1")


def test_a_first_sentence_defines() -> None:
    """People are asked for by who, all else by what."""
    rows = [
        {
            "title": "Ada Berg",
            "paragraphs": [
                "Ada Berg (born 3 May 1950) is a Danish painter of the sea and of ships. She lives in Ribe."
            ],
        },
        {
            "title": "Quern",
            "paragraphs": [
                "Quern is a stone tool for hand-grinding many kinds of grain and other food. It is old."
            ],
        },
    ]
    found = [(record.messages[0].text, record.meta.gold[0]) for record in import_definitions(rows)]
    assert found == [
        ("Who is Ada Berg?", "a Danish painter of the sea and of ships"),
        ("What is Quern?", "a stone tool for hand-grinding many kinds of grain and other food"),
    ]


def test_a_follow_up_searches_with_the_question_before() -> None:
    """As the service does."""
    (record,) = follow_ups([answered(1, "133 steps"), answered(2, "140 steps")])
    assert [message.role for message in record.messages] == ["user", "assistant", "user", "assistant"]
    assert record.messages[-1].parts[0].text == "Steps 1? Steps 2?"
    assert record.messages[1].text == "133 steps [1]."


def test_what_a_small_model_does_not_hold_is_refused() -> None:
    """The accepted answers are kept for judging."""
    (record,) = closed_book([{"question": "Who sang Zoom?", "answers": ["Fat Larry"]}], SQUAD)
    assert (record.task, record.meta.gold) == ("probe_refuse", ("Fat Larry",))
    assert record.messages[-1].parts[-1].type == "refusal"


def test_sums_are_right_and_read_from_their_passage() -> None:
    """The calculator gives each result; a read sum has its numbers in the passage or the question."""
    for record in [*sum_records(60, read=True), *sum_records(60, read=False)]:
        parts = {part.type: part for part in record.messages[-1].parts}
        assert calculate(parts["calculate"].text).result == parts["calculate_result"].text
        assert contains_gold(record.messages[-1].text, record.meta.gold)
        if "search_result" in parts:
            assert record.messages[-1].text.endswith("[1].")


def test_every_fact_answers_without_documents() -> None:
    """Both splits have some."""
    records = list(known_facts())
    assert {record.split for record in records} == {"train", "dev"}
    assert all(contains_gold(record.messages[-1].text, record.meta.gold[:1]) for record in records)
    assert len({record.messages[0].text for record in records}) == len(records)
    assert not any("{" in record.messages[0].text for record in records)


def test_a_capital_and_its_country_fall_on_one_side() -> None:
    """Who trained on the one would know the other."""
    sides = {record.messages[0].text: record.split for record in known_facts()}
    for country, city in (("Ireland", "Dublin"), ("Peru", "Lima"), ("Czech Republic", "Prague")):
        the = "the " if " " in country else ""
        assert (
            sides[f"What is the capital of {the}{country}?"]
            == sides[f"{city} is the capital of which country?"]
        )


def test_every_word_problem_is_right_and_whole() -> None:
    """The calculator gives the told result; counts of things are whole numbers; both splits have some."""
    records = list(word_problems(400))
    assert {record.split for record in records} == {"train", "dev"}
    for record in records:
        call, result, text = record.messages[-1].parts
        assert calculate(call.text).result == result.text == record.meta.gold[0]
        assert text.text == f"The answer is {result.text}."
        assert "{" not in record.messages[0].text
        assert all(number in record.messages[0].text for number in re.findall(r"[\d.]{2,}", call.text)[:1])
    assert records == list(word_problems(400))


def test_the_sentence_with_an_answer_is_found() -> None:
    """None where no sentence has it."""
    assert sentence_with("One. Two is here. Three.", ["two"]) == "Two is here."
    assert sentence_with("One.", ["four"]) is None
