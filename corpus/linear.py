"""Matrix products of a network: float32, or 8-bit integers with a scale for each row.

`quantize_dynamic` of torch gives all tokens of a prompt one common scale, so that one large activation
anywhere decides how coarsely all of them are rounded; docs/decisions/0042-eight-bit-products.md has what
that costs. Here each token has its own scale, and each output channel its own for the weights, as in
LLM.int8() (Dettmers et al. 2022, arXiv:2208.07339, section 2). How a token is rounded then depends on that
token alone, not on what else is in the batch.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

_LEVELS = 127
_LEAST = 1e-12  # a row of zeros must not be divided by zero


@dataclass(frozen=True, slots=True)
class Scratch:
    """Memory for one product at a time: a float and a byte for each number of the widest rows."""

    floats: Tensor
    bytes: Tensor


class Linear(Protocol):
    """Multiplies rows by a fixed matrix."""

    def __call__(self, rows: Tensor) -> Tensor:
        """Return ``rows @ weight.T``; shape (n, inputs) to (n, outputs)."""

    def into(self, out: Tensor, rows: Tensor, bias: Tensor, scratch: Scratch) -> Tensor:
        """Write ``rows @ weight.T + bias`` into `out`, float32 and contiguous, and return that.

        It takes no memory of its own, which a long batch would wait for at every product: the system
        clears each page.
        """


class FloatLinear:
    """In float32."""

    def __init__(self, weight: Tensor) -> None:
        self._weight = weight

    def __call__(self, rows: Tensor) -> Tensor:
        """Return the product."""
        return functional.linear(rows, self._weight)

    def into(self, out: Tensor, rows: Tensor, bias: Tensor, scratch: Scratch) -> Tensor:  # noqa: ARG002 - it needs none
        """Write the product."""
        return torch.mm(rows, self._weight.T, out=out).add_(bias)


class Int8Linear:
    """In 8-bit integers; about a quarter of the memory, and of the time where the CPU has VNNI."""

    def __init__(self, weight: Tensor) -> None:
        self._scale = weight.abs().amax(1).clamp_min(_LEAST) / _LEVELS
        self._weight = (weight / self._scale[:, None]).round_().to(torch.int8).T

    def __call__(self, rows: Tensor) -> Tensor:
        """Return the product, to about one part in a hundred."""
        scale = rows.abs().amax(-1, keepdim=True).clamp_min(_LEAST) / _LEVELS
        whole = (rows / scale).round_().to(torch.int8)
        product: Tensor = torch._int_mm(whole, self._weight)  # noqa: SLF001 - the only one that adds int8 exactly
        return product * scale * self._scale

    def into(self, out: Tensor, rows: Tensor, bias: Tensor, scratch: Scratch) -> Tensor:
        """Write the product: the same bits as of `__call__`."""
        floats = scratch.floats[: rows.numel()].view(rows.shape)
        whole = scratch.bytes[: rows.numel()].view(rows.shape)
        largest = torch.maximum(rows.amax(-1, keepdim=True), rows.amin(-1, keepdim=True).neg_())
        scale = largest.clamp_min_(_LEAST).div_(_LEVELS)
        whole.copy_(torch.div(rows, scale, out=floats).round_())
        sums = torch._int_mm(whole, self._weight, out=out.view(torch.int32))  # noqa: SLF001 - as above
        return out.copy_(sums).mul_(scale).mul_(self._scale).add_(bias)


def int8_is_exact() -> bool:
    """Whether this CPU adds up products of bytes without overflow (VNNI)."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_vnni") or capabilities.get("avx_vnni"))
