"""The sum reader that is shipped: problems that it never saw, in words of this project."""

from fractions import Fraction

import pytest

from rag_service.retrieval.quantities import Problem
from rag_service.retrieval.readers import SHIPPED_SUM_READER
from rag_service.retrieval.sum_reader import SumReader, load_sum_reader


@pytest.fixture(scope="module")
def reader() -> SumReader:
    """Load it."""
    return load_sum_reader(SHIPPED_SUM_READER)


def test_its_file_fits_a_repository() -> None:
    """One file holds it."""
    (file,) = SHIPPED_SUM_READER.glob("*.safetensors")
    assert file.stat().st_size <= 16_000_000


@pytest.mark.parametrize(
    ("question", "text", "result"),
    [
        ("Mara baked 24 rolls and ate 5 of them. How many rolls are left?", "", 19),
        ("A crate holds 12 jars. How many jars do 7 crates hold?", "", 84),
        ("What do two lamps cost?", "A lamp costs 45 crowns.", 90),
        (
            "What do four lamps and three cups cost together?",
            "A lamp costs 45 crowns. It was made in 1998.\nA cup costs 9 crowns.",
            207,
        ),
    ],
)
def test_it_chooses_the_numbers_that_belong_to_the_question(
    reader: SumReader, question: str, text: str, result: int
) -> None:
    """And what becomes of them."""
    assert reader.results(Problem.of(question, text))[0][0] == Fraction(result)


def test_how_large_numbers_are_does_not_matter(reader: SumReader) -> None:
    """The same problem with others has the same probabilities."""
    one = reader.results(Problem.of("Mara baked 24 rolls and ate 5 of them. How many rolls are left?"))
    other = reader.results(Problem.of("Mara baked 3,111 rolls and ate 7.5 of them. How many rolls are left?"))
    assert one[0][0] == 19
    assert other[0][0] == Fraction("3103.5")
    assert other[0][1] == pytest.approx(one[0][1], abs=0.02)
