"""Which of two is more or earlier: how each is asked for, and what is made of what is found."""

import pytest

from rag_service.answering.comparing import Compared, compare, comparison_in, is_about_both
from rag_service.answering.looking_up import Fact
from tests.passages import passage

AGNES = "At normal load Agnes burns 13 litres of diesel an hour."
BERTIL = "Bertil burns 15 litres of diesel an hour."


@pytest.mark.parametrize(
    ("question", "names", "asked", "more"),
    [
        ("Which generator burns more, Agnes or Bertil?", "Agnes/Bertil", "How much does {} burn?", True),
        (
            "Which generator burns less diesel, Agnes or Bertil?",
            "Agnes/Bertil",
            "How much diesel does {} burn?",
            False,
        ),
        (
            "Who has fewer Academy Award nominations, Ada or Ben?",
            "Ada/Ben",
            "How many Academy Award nominations does {} have?",
            False,
        ),
        ("Which hut is higher: the Ark or the Lantern", "the Ark/the Lantern", "How high is {}?", True),
        (
            "Which got colder, the first winter or the year 2025?",
            "the first winter/the year 2025",
            "How cold was {}?",
            False,
        ),
        ("Which is the cheaper plan, Basic or Pro?", "", "", True),
        ("Which plan is cheaper, Basic or Pro?", "Basic/Pro", "How much does {} cost?", False),
        ("Which of them is more expensive, tea or coffee?", "tea/coffee", "How much does {} cost?", True),
        (
            "Which camp is farther from the station, Ada or Ben?",
            "Ada/Ben",
            "How far is {} from the station?",
            True,
        ),
        ("Who was born first, Ada or Ben?", "Ada/Ben", "When was {} born?", False),
        ("Which was opened more recently, Ada or Ben?", "Ada/Ben", "When was {} opened?", True),
        ("Who is younger, Ada or Ben?", "Ada/Ben", "When was {} born?", True),
        ("Which came last, Ada or Ben?", "Ada/Ben", "When did {} come?", True),
        ("Is Agnes heavier than Bertil?", "Agnes/Bertil", "How heavy is {}?", True),
        ("Does Agnes burn more diesel than Bertil?", "Agnes/Bertil", "How much diesel does {} burn?", True),
        ("Was the Ark built earlier than the Lantern?", "the Ark/the Lantern", "When was {} built?", False),
        ("Do you prefer tea or coffee?", "", "", True),
        ("Which colour has the door, red or green?", "", "", True),
        ("What is the year of the event which came first, A or B?", "", "", True),
        ("Which airport is farther south, Oslo or Bergen?", "", "", True),
        ("Which burns more, Agnes, Bertil or Cedric?", "", "", True),
        ("Which burns more: Agnes or Bertil or Cedric?", "", "", True),
        ("Which plan costs more, A or B?", "", "", True),
        ("Which costs more, with insurance or without?", "", "", True),
        (
            "Is the longer route cheaper than the shorter route?",
            "the longer route/the shorter route",
            "How much does {} cost?",
            False,
        ),
        ("Is Anna not older than Ben?", "", "", True),
        ("Is Bertil much heavier than Agnes?", "Bertil/Agnes", "How heavy is {}?", True),
        (
            "Does Agnes burn far more diesel than Bertil?",
            "Agnes/Bertil",
            "How much diesel does {} burn?",
            True,
        ),
        ("Is it cheaper than the train?", "", "", True),
        ("Is the tower higher than 50 metres?", "", "", True),
        ("Do I get more leave than Ben?", "", "", True),
        ("Who won first prize, Anna or Ben?", "", "", True),
        ("Which is on the first floor, the library or the canteen?", "", "", True),
        ("Which should I do first, call the police or call the insurer?", "", "", True),
        ("Which team finished last, Lions or Bears?", "", "", True),
        ("Which company is older, Acme or Bolt?", "Acme/Bolt", "When was {} founded?", False),
        ("which a, " + "b or " * 6000 + "!,", "", "", True),
        ("is " + "more " * 6000 + "than b?", "", "", True),
        ("is a " + "than " * 6000, "", "", True),
    ],
)
def test_what_is_compared_is_asked_of_each(question: str, names: str, asked: str, more: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """By a question that one passage answers; what is not understood is left alone."""
    found = comparison_in(question)
    if not names:
        assert found is None
        return
    assert found is not None
    assert f"{found.first}/{found.second}" == names
    assert (found.forms[0].question, found.forms[0].more) == (asked, more)


def _compared(question: str, told: dict[str, tuple[str, str]]) -> Compared | None:
    """Compare what stands behind each question: the words, and their sentence."""

    def look_up(asked: str) -> Fact | None:
        text, sentence = told.get(asked, ("", ""))
        return Fact(text, sentence, passage(1, f"Tea is free. {sentence}"), 0.9) if text else None

    comparison = comparison_in(question)
    assert comparison is not None
    return compare(comparison, look_up)


BURNS = {
    "How much does Agnes burn?": ("13 litres", AGNES),
    "How much does Bertil burn?": ("15 litres of diesel an hour", BERTIL),
}


def test_the_one_that_is_more_is_the_answer() -> None:
    """With both sentences."""
    compared = _compared("Which burns more, Agnes or Bertil?", BURNS)
    assert compared is not None
    assert compared.text == "Bertil"
    assert [fact.sentence for fact in compared.facts] == [AGNES, BERTIL]
    less = _compared("Which burns less, Agnes or Bertil?", BURNS)
    assert less is not None
    assert less.text == "Agnes"


def test_what_is_asked_for_a_yes_or_no_gets_one() -> None:
    """And "than" says which way."""
    for question, answer in (
        ("Does Agnes burn more than Bertil?", "No"),
        ("Does Bertil burn more than Agnes?", "Yes"),
    ):
        compared = _compared(question, BURNS)
        assert compared is not None
        assert compared.text == answer


def test_another_way_to_ask_may_find_it() -> None:
    """How old somebody is, where no date of birth stands."""
    ages = {
        "How old is Milo?": ("61", "Milo is 61 years old."),
        "How old is Ilse?": ("fifty-two", "Ilse is fifty-two years old."),
    }
    compared = _compared("Who is older, Milo or Ilse?", ages)
    assert compared is not None
    assert compared.text == "Milo"


@pytest.mark.parametrize(
    "told",
    [
        {"How much does Agnes burn?": ("13 litres", AGNES)},
        BURNS | {"How much does Bertil burn?": ("13 litres", "Bertil burns 13 litres too.")},
        BURNS | {"How much does Bertil burn?": ("15 kilometres", "Bertil stands 15 kilometres away.")},
        BURNS | {"How much does Bertil burn?": ("diesel", "Bertil burns diesel.")},
        BURNS | {"How much does Bertil burn?": ("13 litres", AGNES)},
        BURNS | {"How much does Bertil burn?": ("15 litres", "Ulla burns 15 litres.")},
        {
            "How much does Agnes burn?": ("13 litres", "Agnes burns 13 litres."),
            "How much does Bertil burn?": ("15 litres", "Bertil burns 15 litres an hour."),
        },
    ],
)
def test_where_they_do_not_tell_there_is_no_answer(told: dict[str, tuple[str, str]]) -> None:
    """One is missing, they are the same, of other units, no number, of one sentence, or about another."""
    assert _compared("Which burns more, Agnes or Bertil?", told) is None


def test_what_is_said_about_one_of_two_tells_no_difference() -> None:
    """Where it is not compared, what is cited must speak of both."""
    question, places = "Which burns more, Agnes or Bertil?", [passage(1, AGNES), passage(2, BERTIL)]
    assert not is_about_both(question, "Agnes [1].", places)
    assert is_about_both(question, "Agnes [1][2].", places)
    assert is_about_both(question, "Agnes.", places)
    assert is_about_both("What does Agnes burn?", "13 litres [1].", places)
    assert is_about_both("Were the costs higher than expected?", "Yes [1].", places)


def test_the_less_time_it_takes_the_faster_it_is() -> None:
    """Over the same way, which is not known."""
    took = {
        "How fast is the train?": ("2 hours", "The train takes 2 hours."),
        "How fast is the bus?": ("4 hours", "The bus takes 4 hours."),
    }
    assert _compared("Which is faster, the train or the bus?", took) is None
