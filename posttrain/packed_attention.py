"""Attention in packed rows: each conversation attends to itself alone.

One conversation after the other costs a fraction of one masked product over the row, because most of that
product would be masked out.
"""

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
    one = _attend_on_cpu if query.device.type == "cpu" else _attend_on_gpu
    query, key = query.to(value.dtype), key.to(value.dtype)
    pieces = zip(*(torch.split(each, list(lengths), 2) for each in (query, key, value)), strict=True)
    with torch.autocast(query.device.type, enabled=False):
        mixed = [one(queries, keys, values, scaling) for queries, keys, values in pieces]
    return torch.cat(mixed, dim=2).transpose(1, 2), None


def _attend_on_gpu(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
    return functional.scaled_dot_product_attention(
        query, key, value, is_causal=True, scale=scaling, enable_gqa=True
    )


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
