"""Values of the chat model's seam."""

from rag_service.answering.chat_model import Usage


def test_usage_adds_up() -> None:
    """Sums of tokens and times; one estimate makes the sum an estimate."""
    first = Usage(10, 5, 3, 20.0, 30.0)
    assert first.plus(Usage(1, 2, 0, 4.0, 5.0)) == Usage(11, 7, 3, 24.0, 35.0)
    assert first.plus(Usage(estimated=True)).estimated is True
    assert first.plus(Usage()).estimated is False
