"""Joining stretches of chunks."""

from hypothesis import given
from hypothesis import strategies as st

from rag_service.retrieval.neighbours import Stretch, join_stretches


def stretch(rank: int, first: int, last: int, document: str = "doc_1") -> Stretch:
    """Return a stretch of a chunking that plays no part."""
    return Stretch(rank, document, "fake/64/8", first, last)


def test_overlapping_and_following_stretches_become_one_at_the_better_rank() -> None:
    """Rank 2 closes the gap between ranks 0 and 1."""
    found = join_stretches([stretch(0, 0, 2), stretch(1, 6, 8), stretch(2, 3, 5)])
    assert found == [stretch(0, 0, 8)]


def test_a_gap_of_one_chunk_keeps_stretches_apart() -> None:
    """Chunks 0-2 and 4-6 of one document are two passages."""
    apart = [stretch(0, 4, 6), stretch(1, 0, 2)]
    assert join_stretches(apart) == apart


def test_documents_are_never_joined() -> None:
    """The same positions of two documents stay two passages."""
    apart = [stretch(0, 0, 2), stretch(1, 0, 2, "doc_2")]
    assert join_stretches(apart) == apart


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3), st.sampled_from(["a", "b"])), max_size=12))
def test_joined_stretches_cover_the_same_chunks_and_do_not_touch(items: list[tuple[int, int, str]]) -> None:
    """For any stretches: same chunks, no two of one document touch, ranks ascend."""
    before = [stretch(rank, first, first + more, name) for rank, (first, more, name) in enumerate(items)]
    after = join_stretches(before)

    def covered(some: list[Stretch]) -> set[tuple[str, int]]:
        return {
            (each.document_id, position) for each in some for position in range(each.first, each.last + 1)
        }

    assert covered(after) == covered(before)
    assert [each.rank for each in after] == sorted(each.rank for each in after)
    for left in after:
        for right in after:
            apart = left.last + 1 < right.first or right.last + 1 < left.first
            assert left is right or left.document_id != right.document_id or apart
