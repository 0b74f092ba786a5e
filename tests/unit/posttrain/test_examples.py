"""Examples as files: what a machine without a tokenizer reads is what was rendered."""

from pathlib import Path

import pytest

from posttrain.examples import Example, load_examples, write_examples


@pytest.mark.parametrize("largest", [65535, 65536], ids=["two bytes an id", "four bytes an id"])
def test_examples_come_back_from_their_file(tmp_path: Path, largest: int) -> None:
    """Ids, flags and where one example ends, whatever the lengths and however large the vocabulary."""
    examples = [
        Example((1, largest, 3), (False, True, True)),
        Example((7,), (False,)),
        Example(tuple(range(21)), tuple(n % 3 == 0 for n in range(21))),
    ]
    write_examples(examples, tmp_path / "some.npz")
    assert load_examples(tmp_path / "some.npz") == examples


def test_a_small_vocabulary_takes_half_the_space(tmp_path: Path) -> None:
    """Ids below 65,536 are kept in two bytes each; compression does not hide that."""
    small = [Example(tuple((n * n * 31) % 65536 for n in range(4000)), (True,) * 4000)]
    large = [Example((*small[0].ids[1:], 65536), (True,) * 4000)]
    for name, examples in (("small", small), ("large", large)):
        write_examples(examples, tmp_path / f"{name}.npz")
    sizes = [(tmp_path / f"{name}.npz").stat().st_size for name in ("small", "large")]
    assert sizes[0] < sizes[1]


def test_no_examples_come_back_as_none(tmp_path: Path) -> None:
    """A mix without a development part is a file like any other."""
    write_examples([], tmp_path / "none.npz")
    assert load_examples(tmp_path / "none.npz") == []
