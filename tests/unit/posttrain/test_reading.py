"""Reading data becomes searches, results and answers or refusals."""

from posttrain.data.files import Json
from posttrain.data.reading import import_boolq, import_quac, import_squad, split_of

SQUAD: Json = {
    "data": [
        {
            "title": "Vostrel_Station",
            "paragraphs": [
                {
                    "context": "Orson Kovacs keeps the generators.",
                    "qas": [
                        {
                            "id": "1",
                            "question": "Who keeps the generators?",
                            "is_impossible": False,
                            "answers": [{"text": "Orson Kovacs"}, {"text": "Kovacs"}],
                        },
                        {"id": "2", "question": "Who cooks?", "is_impossible": True, "answers": []},
                    ],
                }
            ],
        }
    ]
}


def test_squad_question_with_an_answer_cites_its_passage() -> None:
    """An answerable question becomes search, result and a cited answer; all gold answers are kept."""
    record, _ = import_squad(SQUAD)
    search, result, answer = record.messages[1].parts
    assert (record.task, record.meta.gold) == ("rag_answer", ("Orson Kovacs", "Kovacs"))
    assert (search.type, search.text) == ("search", "Who keeps the generators?")
    assert result.passages[0].text == "Orson Kovacs keeps the generators."
    assert answer.text == "Orson Kovacs [1]."


def test_squad_question_marked_impossible_is_refused() -> None:
    """A question that the passage does not answer ends in a refusal, never in an answer."""
    _, record = import_squad(SQUAD)
    assert record.task == "rag_refuse"
    assert record.messages[1].parts[-1].type == "refusal"
    assert record.meta.answerable is False


def test_records_of_one_article_fall_into_one_split() -> None:
    """Splitting by document keeps a passage from standing in both train and dev."""
    assert len({record.split for record in import_squad(SQUAD)}) == 1
    assert {split_of(f"article {n}") for n in range(200)} == {"train", "dev"}


def test_boolq_rows_without_a_label_are_left_out() -> None:
    """Unlabelled rows teach nothing; labelled ones say yes or no, and their title is split off."""
    rows: list[dict[str, Json]] = [
        {"question": "is ice cold", "passage": "Ice -- Ice is cold.", "label": True},
        {"question": "is ice warm", "passage": "Ice -- Ice is cold."},
    ]
    (record,) = import_boolq(rows)
    assert record.messages[0].text == "Is ice cold?"
    assert record.messages[1].parts[1].passages[0].title == "Ice"
    assert record.meta.gold == ("Yes",)


def test_quac_turns_carry_the_turns_before_them_as_history() -> None:
    """The second question is asked with the first question and its answer in the conversation."""
    row: dict[str, Json] = {
        "passage": "In May she married Nikos. CANNOTANSWER",
        "question": "question1: what happened in May?\nquestion2: where?",
        "answer": "possible answers for question1:\nshe married Nikos.\n"
        "possible answers for question2:\nCANNOTANSWER",
    }
    first, second = import_quac([row])
    assert first.meta.gold == ("she married Nikos",)
    assert [message.role for message in second.messages] == ["user", "assistant", "user", "assistant"]
    assert second.task == "rag_refuse"
    assert "CANNOTANSWER" not in second.messages[-1].parts[1].passages[0].text
