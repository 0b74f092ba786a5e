"""How the stages of an answer are laid out from their durations."""

from rag_service.answering.draft import Timings
from rag_service.telemetry.spans import Stage, stages_of

MS = 1_000_000
BEGAN = 5_000 * MS


def test_search_comes_first_and_the_others_end_with_the_answer() -> None:
    """Each stage keeps its length; between search and prefill lies what is not counted."""
    timings = Timings(embed=3, search=7, prefill=20, decode=40, verify=10, total=100)
    embed = Stage("embed", BEGAN, BEGAN + 3 * MS)
    assert stages_of(timings, BEGAN) == (
        Stage("search", BEGAN, BEGAN + 10 * MS, (embed,)),
        Stage("prefill", BEGAN + 30 * MS, BEGAN + 50 * MS),
        Stage("decode", BEGAN + 50 * MS, BEGAN + 90 * MS),
        Stage("verify", BEGAN + 90 * MS, BEGAN + 100 * MS),
    )


def test_stages_that_did_not_come_are_left_out() -> None:
    """A refusal before the model read anything has only its search; by words alone there is no vector."""
    assert stages_of(Timings(search=7, total=9), BEGAN) == (Stage("search", BEGAN, BEGAN + 7 * MS),)
