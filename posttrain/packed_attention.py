"""Attention in packed rows: each conversation attends to itself alone.

On a CPU one conversation comes after the other: that costs a fraction of one masked product over the row,
because most of that product would be masked out. A GPU would spend its time on starting so many small
products: there the conversations are laid side by side, padded to the longest, and attend in one product.
"""

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface

NAME = "packed"


def _attend(
    _module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _mask: None,
    *,
    scaling: float,
    lengths: tuple[int, ...] | None = None,
    **_others: object,
) -> tuple[Tensor, None]:
    """Return the mixed values, shape (1, length, heads, head size).

    `query` has the shape (1, heads, length, head size), `key` and `value` fewer heads; `lengths` sum to
    length, without them the row is one conversation.
    """
    lengths = lengths or (query.shape[2],)
    query, key = query.to(value.dtype), key.to(value.dtype)
    with torch.autocast(query.device.type, enabled=False):
        if query.device.type != "cpu":
            return side_by_side(query, key, value, scaling, lengths), None
        pieces = zip(*(torch.split(each, list(lengths), 2) for each in (query, key, value)), strict=True)
        mixed = [_attend_on_cpu(queries, keys, values, scaling) for queries, keys, values in pieces]
        return torch.cat(mixed, dim=2).transpose(1, 2), None


def side_by_side(
    query: Tensor, key: Tensor, value: Tensor, scaling: float, lengths: tuple[int, ...]
) -> Tensor:
    """Return what `_attend` does, from one product over all conversations.

    What pads a conversation stands behind it, where a causal product never looks.
    """
    places = _places(lengths, query.device)
    batch, longest = len(lengths), max(lengths)

    def laid(packed: Tensor) -> Tensor:
        _, heads, count, size = packed.shape
        flat = packed[0].transpose(0, 1).reshape(count, heads * size)
        spread = flat.new_zeros(batch * longest, heads * size).index_copy(0, places, flat)
        return spread.view(batch, longest, heads, size).transpose(1, 2)

    mixed = functional.scaled_dot_product_attention(
        laid(query), laid(key), laid(value), is_causal=True, scale=scaling, enable_gqa=True
    )
    _, heads, _, size = mixed.shape
    rows = mixed.transpose(1, 2).reshape(batch * longest, heads * size)
    return rows.index_select(0, places).view(1, -1, heads, size)


@lru_cache(maxsize=4)  # all layers of a row ask for the same
def _places(lengths: tuple[int, ...], device: torch.device) -> Tensor:
    """Return where each token of a row stands once its conversations are laid side by side."""
    longest = max(lengths)
    places = [n * longest + place for n, length in enumerate(lengths) for place in range(length)]
    return torch.tensor(places, device=device)


def _attend_on_cpu(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
    """Two products and a softmax: with rows this short faster than torch's kernel and its gradient.

    Queries that share keys are put in one matrix.
    """
    _, heads, count, size = query.shape
    groups = key.shape[1]
    rows = query.reshape(groups, heads // groups * count, size) * scaling
    scores = (rows @ key[0].transpose(1, 2)).view(heads, count, count)
    later = torch.ones(count, count, dtype=torch.bool).triu(1)
    shares = scores.masked_fill(later, float("-inf")).softmax(-1)
    return (shares.view(groups, -1, count) @ value[0]).view(1, heads, count, size)


AttentionInterface.register(NAME, _attend)
