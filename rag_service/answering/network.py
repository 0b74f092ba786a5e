"""The seam between generation and the network that computes it."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class Network(Protocol):
    """A causal language model and its one live context, whose keys and values it keeps."""

    @property
    def context_length(self) -> int:
        """The most tokens that the context holds."""

    @property
    def length(self) -> int:
        """Tokens in the context now."""

    def forward(self, ids: Sequence[int]) -> Tensor:
        """Append ids to the context; return the logits of the token after them, shape (vocabulary,)."""

    def truncate(self, length: int) -> None:
        """Forget all but the first `length` tokens."""
