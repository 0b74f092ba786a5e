"""Products of a network: what is written into given memory is what a call returns."""

import pytest
import torch

from corpus.linear import FloatLinear, Int8Linear, Linear, Scratch


@pytest.fixture(params=[FloatLinear, Int8Linear])
def linear(request: pytest.FixtureRequest) -> Linear:
    """Make a product of each kind."""
    made: Linear = request.param(torch.randn(96, 64, generator=torch.Generator().manual_seed(0)))
    return made


@pytest.mark.parametrize("count", [1, 17, 300])
def test_into_gives_what_a_call_gives(linear: Linear, count: int) -> None:
    """The memory may hold anything before; in eight bits not one bit differs."""
    rows = torch.randn(count, 64, generator=torch.Generator().manual_seed(count))
    rows[0] = 0
    bias = torch.arange(96.0)
    scratch = Scratch(torch.full((count * 96,), torch.nan), torch.full((count * 96,), 7, dtype=torch.int8))
    out = torch.full((count, 96), torch.nan)
    assert linear.into(out, rows, bias, scratch) is out
    expected = linear(rows) + bias
    if isinstance(linear, Int8Linear):
        assert torch.equal(out, expected)
    torch.testing.assert_close(out, expected)
