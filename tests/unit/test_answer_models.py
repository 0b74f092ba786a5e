"""The gate between chat models."""

from rag_service.answer_models import worse_measures


def test_what_should_be_small_is_worse_when_it_is_larger() -> None:
    """Over-refusal and perplexity count the other way; what either model lacks is no reason."""
    found = {
        "over-refusal": {"value": 0.5, "low": 0.4, "high": 0.6},
        "chat perplexity": {"value": 9.0, "low": 8.0, "high": 10.0},
        "identity": {"value": 0.0, "low": 0.0, "high": 0.0},
        "arithmetic": {"value": None, "low": None, "high": None},
    }
    active = {
        "over-refusal": {"low": 0.1, "high": 0.2},
        "chat perplexity": {"low": 8.0, "high": 12.0},
        "arithmetic": {"low": 0.5, "high": 0.7},
        "contains gold": {"low": 0.5, "high": 0.7},
    }
    assert [line.partition(" is")[0] for line in worse_measures(found, active)] == ["over-refusal"]
