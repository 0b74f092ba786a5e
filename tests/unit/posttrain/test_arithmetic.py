"""Worked solutions become calculator calls."""

from decimal import Decimal

from posttrain.data.arithmetic import computes, import_gsm8k, import_mawps, infix, renumbered_mawps
from posttrain.data.files import Json

SOLUTION = "She sold 48/2 = <<48/2=24>>24 clips in May.\nThat is 48+24 = <<48+24=72>>72 in all.\n#### 72"


def test_each_annotation_becomes_a_call_and_its_result() -> None:
    """The text around the annotations stays as it was; the last line is the answer."""
    (record,) = import_gsm8k([{"question": "How many clips?", "answer": SOLUTION}])
    kinds = [part.type for part in record.messages[1].parts]
    assert kinds == ["text", *["calculate", "calculate_result", "text"] * 2, "text"]
    assert record.messages[1].parts[4].text == "48+24"
    assert record.messages[1].text.endswith("The answer is 72.")


def test_a_solution_that_does_not_compute_is_left_out() -> None:
    """A wrong annotation would teach the model that the calculator errs."""
    rows: list[dict[str, Json]] = [{"question": "?", "answer": "It is <<2+2=5>>5.\n#### 5"}]
    assert not list(import_gsm8k(rows))


def test_mawps_placeholders_are_filled_and_the_equation_is_written_out() -> None:
    """Numbers come back into the question; prefix notation becomes the usual one."""
    row = {
        "Question": "Mary needs number0 cups . She has number1 . How many more ?",
        "Numbers": "8.0 2.0",
        "Equation": "- number0 number1",
        "Answer": "6.0",
    }
    (record,) = import_mawps([row])
    assert record.messages[0].text == "Mary needs 8 cups. She has 2. How many more?"
    assert [part.text for part in record.messages[1].parts] == ["8-2", "6", "The answer is 6."]


def test_a_problem_with_other_numbers_stays_the_same_problem() -> None:
    """Digits, order, a whole result and the side of the split stay; the expression follows the numbers."""
    row = {
        "Question": "Ann has number0 eggs and puts them into boxes of number1 . How many boxes ?",
        "Numbers": "24.0 8.0",
        "Equation": "/ number0 number1",
        "Answer": "3.0",
    }
    (original,) = import_mawps([row])
    made = list(renumbered_mawps([row], times=5))

    assert made
    for record in made:
        expression, result = (part.text for part in record.messages[1].parts[:2])
        eggs, boxes = (int(number) for number in expression.split("/"))
        assert 10 <= eggs <= 99
        assert 2 <= boxes <= 9
        assert computes(expression, result)
        assert Decimal(result) == eggs // boxes
        assert f"{eggs} eggs" in record.messages[0].text
        assert record.split == original.split
    assert len({record.messages[0].text for record in made}) > 1
    assert "24 eggs" not in {record.messages[0].text for record in made}


def test_a_problem_without_numbers_that_fit_is_left_out() -> None:
    """One and nothing are said as words are: no other number takes their place."""
    row = {"Question": "number0 is number0 ?", "Numbers": "1.0", "Equation": "+ number0 0", "Answer": "1.0"}
    assert not list(renumbered_mawps([row], times=3))


def test_ten_and_a_hundred_are_numbers_like_others() -> None:
    """Only 0 and 1 stay; what came to nothing still does."""
    row = {
        "Question": "Ann had number0 eggs and gave number1 away . How many are left ?",
        "Numbers": "100.0 10.0",
        "Equation": "- number0 number1",
        "Answer": "90.0",
    }
    assert {each.messages[1].parts[0].text for each in renumbered_mawps([row], times=3)} - {"100-10"}
    none_left = row | {"Numbers": "50.0 50.0", "Answer": "0.0"}
    made = list(renumbered_mawps([none_left] * 20, times=3))
    assert made
    assert all(each.meta.gold == ("0",) for each in made)


def test_a_problem_that_is_held_back_has_no_forms_in_training() -> None:
    """MAWPS asks the same with other numbers; the split goes by the numbers too."""
    rows = [
        {
            "Question": "Ann has number0 eggs and gets number1 more . How many has she ?",
            "Numbers": f"{count}.0 3.0",
            "Equation": "+ number0 number1",
            "Answer": f"{count + 3}.0",
        }
        for count in range(10, 90)
    ]
    assert {each.split for each in import_mawps(rows)} == {"train", "dev"}
    assert {each.split for each in renumbered_mawps(rows, times=1)} == {"dev"}


def test_nested_prefix_keeps_its_brackets() -> None:
    """Only the outermost brackets are dropped; a broken formula is none."""
    assert infix(["/", "+", "number0", "number1", "2"], ["3", "5"]) == "(3+5)/2"
    assert infix(["+", "number0"], ["3"]) is None
    assert infix(["number0", "number0"], ["3"]) is None
