"""Characters that the databases can not keep."""

from hypothesis import given
from hypothesis import strategies as st

from indexer.storable import is_storable, storable


@given(st.text(st.characters(exclude_categories=())))
def test_the_result_can_be_kept_and_has_the_same_length(text: str) -> None:
    """Offsets into the text stay right; what could be kept already is unchanged."""
    kept = storable(text)
    assert is_storable(kept)
    assert len(kept) == len(text)
    assert is_storable(text) == (kept == text)
    kept.encode()


def test_nul_and_lone_surrogates_are_replaced() -> None:
    """Both become the replacement character."""
    assert storable("a\0b\ud800c") == "a\ufffdb\ufffdc"
