"""A chat model in this process: torch, one live context, keys and values kept between turns."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from safetensors.torch import load_file
from torch import Tensor

from corpus.errors import PromptTooLong
from corpus.linear import int8_is_exact
from rag_service.answering.adapter import Adapter, load_adapter, merge
from rag_service.answering.chat_model import (
    Cancelled,
    End,
    EndReason,
    Fingerprint,
    GenerationCancelled,
    LikelySum,
    Sampling,
    Skill,
    Usage,
)
from rag_service.answering.conversation import Message, Part
from rag_service.answering.generation import GeneratedText, common_length, is_loop, token_chooser
from rag_service.answering.likeliest_sums import LONGEST, OF_SUMS, likeliest_sums
from rag_service.answering.llama import LlamaConfig, LlamaNetwork, Precision
from rag_service.answering.markers import Call, Delta, Marker
from rag_service.answering.model_files import find_model, weight_files
from rag_service.answering.network import Network
from rag_service.answering.template import Template, load_template
from rag_service.answering.turn_queue import TurnQueue

_PIECE = 128  # tokens read at once; between two such pieces a caller that is gone is noticed


@dataclass(slots=True)
class _Context:
    """The ids whose keys and values the network has.

    The first `whole` of them were read in whole pieces, counted from the first token. Only these are kept for
    another turn: a product's last bits depend on how many rows it has, and in eight bits such a bit may turn
    a step, so that the same prompt read in other pieces has other answers. What was asked before is not to
    change an answer.
    """

    ids: list[int] = field(default_factory=list)
    whole: int = 0

    def extend(self, piece: Sequence[int]) -> None:
        if len(piece) == _PIECE and len(self.ids) == self.whole:
            self.whole += _PIECE
        self.ids += piece

    def truncate(self, length: int) -> None:
        del self.ids[length:]
        self.whole = min(self.whole, length - length % _PIECE)


class LocalModel:
    """See `ChatModel`. The context of the last turn stays, and a next one reads only what differs."""

    def __init__(
        self,
        name: str,
        network: Network,
        template: Template,
        fingerprint: Fingerprint,
        *,
        reads: bool = True,
    ) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self.skill: Skill = "none" if template.plain_markers else "trained"
        self.reads = reads and not template.plain_markers
        self.template = template
        self._network = network
        self._pieces = template.vocabulary.matching(OF_SUMS) if self.skill == "trained" else {}
        self._queue = TurnQueue()
        self._context = _Context()

    @property
    def context_length(self) -> int:
        """See `ChatModel`."""
        return self._network.context_length

    def count_tokens(self, text: str) -> int:
        """See `ChatModel`."""
        return self.template.vocabulary.count(text)

    @contextmanager
    def begin(
        self, messages: Sequence[Message], *, cancelled: Cancelled = lambda: False
    ) -> Iterator["LocalTurn"]:
        """Open a turn; see `ChatModel`."""
        ids = self.template.render(messages, add_generation_prompt=True).ids
        with self._queue.turn(cancelled):
            yield LocalTurn(self._network, self.template, self._context, ids, cancelled, pieces=self._pieces)


class LocalTurn:
    """See `Turn`."""

    def __init__(
        self,
        network: Network,
        template: Template,
        context: _Context,
        prompt: list[int],
        cancelled: Cancelled,
        *,
        pieces: Mapping[int, str],
    ) -> None:
        """`context` is of the turn before, and becomes this one's; sums are made of `pieces`."""
        self._pieces = pieces
        self._network = network
        self._template = template
        self._context = context
        self._cancelled = cancelled
        self._has_begun = False  # to read; until then the context is another turn's
        self._unread = list(prompt)
        self._logits: Tensor | None = None
        self._next_number = 1
        self.usage = Usage(prompt_tokens=len(prompt))
        self._check_length()

    @property
    def transcript(self) -> str:
        """See `Turn`."""
        return self._template.vocabulary.decode(self._ids)

    @property
    def _ids(self) -> list[int]:
        """All of this turn, read and unread."""
        return [*(self._context.ids if self._has_begun else ()), *self._unread]

    @property
    def _length(self) -> int:
        return (len(self._context.ids) if self._has_begun else 0) + len(self._unread)

    def append(self, *parts: Part) -> None:
        """See `Turn`."""
        ids = self._template.render_parts(parts, first_number=self._next_number).ids
        self._next_number += sum(len(part.passages) for part in parts)
        self._unread += ids
        self.usage = replace(self.usage, prompt_tokens=self.usage.prompt_tokens + len(ids))
        self._check_length()

    def generate(self, sampling: Sampling) -> Iterator[Delta | Call | End]:
        """Go on; see `Turn`."""
        reasoning = sampling.reasoning and bool(self._begin(Marker.THINK_START))
        reader = GeneratedText(self._template, sampling.stop, reasoning=reasoning)
        choose = token_chooser(sampling, self._banned(sampling))
        written: list[int] = []
        reason: EndReason = "length"
        if sampling.calculator == "must" and not reasoning:
            for number in self._begin(Marker.CALC_START):
                yield from reader.feed(number)
        try:
            while len(written) < sampling.max_tokens and self._has_room():
                number = self._next_id(choose)
                if number in self._template.stop_ids:
                    reason = "end"
                    break
                written.append(number)
                self._unread.append(number)
                for item in reader.feed(number):
                    yield item
                    if isinstance(item, Call) and item.closed:
                        return
                if reader.stopped or is_loop(written):
                    reason = "stop" if reader.stopped else "loop"
                    break
        except GenerationCancelled:
            yield End("cancelled")
            return
        yield from reader.finish()
        yield End(reason)

    def likeliest_sums(self, numbers: frozenset[str], *, most_steps: int) -> Iterator[LikelySum]:
        """Yield what the model would compute; see `Turn`."""
        ids = {marker: number for number, marker in self._template.markers.items()}
        before = self._ids
        room = self._network.context_length - len(before) - LONGEST
        if Marker.CALC_START not in ids or room < 0:
            return

        def after(written: Sequence[int]) -> Tensor:
            self._go_to([*before, ids[Marker.CALC_START], *written])
            return self._read().log_softmax(-1)

        try:
            yield from likeliest_sums(
                after, self._pieces, ids[Marker.CALC_END], numbers, most_steps=most_steps
            )
        finally:
            self._go_to(before)

    def _go_to(self, ids: list[int]) -> None:
        """Let this turn become `ids`, of which at least the last is still to be read."""
        if self._has_begun:
            self._forget(min(common_length(ids, self._context.ids), len(ids) - 1))
            ids = ids[len(self._context.ids) :]
        self._unread, self._logits = ids, None

    def _begin(self, wanted: Marker) -> list[int]:
        """Write a marker in the model's place, if it has it; return its ids."""
        ids = [number for number, marker in self._template.markers.items() if marker is wanted]
        self._unread += ids
        return ids

    def _next_id(self, choose: Callable[[Tensor], int]) -> int:
        """Read what is unread and choose the token after it."""
        return choose(self._read())

    def _read(self) -> Tensor:
        """Read what is unread; return the logits of the token after it."""
        began, unread = time.perf_counter(), len(self._unread)
        if not self._has_begun:
            self._keep_common_beginning()
        while self._unread or self._logits is None:
            if self._cancelled():
                raise GenerationCancelled("Nobody waits for this answer any more.")
            count = _PIECE - len(self._context.ids) % _PIECE
            piece, self._unread = self._unread[:count], self._unread[count:]
            self._logits = self._network.forward(piece)
            self._context.extend(piece)
        self._account((time.perf_counter() - began) * 1000, is_prefill=unread > 1)
        return self._logits

    def _keep_common_beginning(self) -> None:
        """Keep what the turn before has read of this one's beginning, in whole pieces."""
        ids, self._has_begun = self._unread, True
        cached = min(common_length(ids, self._context.ids), len(ids) - 1, self._context.whole)
        self._forget(cached - cached % _PIECE)
        self._unread = ids[len(self._context.ids) :]
        self.usage = replace(self.usage, cached_tokens=len(self._context.ids))

    def _forget(self, length: int) -> None:
        """Forget all that was read but the first `length` tokens."""
        self._network.truncate(length)
        self._context.truncate(length)

    def _account(self, milliseconds: float, *, is_prefill: bool) -> None:
        usage = replace(self.usage, completion_tokens=self.usage.completion_tokens + 1)
        if is_prefill:
            self.usage = replace(usage, prefill_ms=usage.prefill_ms + milliseconds)
        else:
            self.usage = replace(usage, decode_ms=usage.decode_ms + milliseconds)

    def _has_room(self) -> bool:
        return self._length < self._network.context_length

    def _check_length(self) -> None:
        if self._length >= self._network.context_length:
            raise PromptTooLong(
                f"The prompt has {self._length} tokens; the model takes fewer than "
                f"{self._network.context_length}. Ask something shorter or use fewer passages."
            )

    def _banned(self, sampling: Sampling) -> list[int]:
        """Control tokens that no model may write: those of the frame, of results, and unknown ones.

        Besides, those that this turn has no use for.
        """
        useless = set() if sampling.refusing else {Marker.REFUSAL}
        useless |= {Marker.CALC_START} if sampling.calculator == "not" else set()
        markers = self._template.markers.items()
        allowed = self._template.stop_ids | {number for number, marker in markers if marker not in useless}
        return sorted(set(self._template.vocabulary.control.values()) - allowed)


def load_chat_model(
    model: str, *, models_dir: Path, adapter: str = "", precision: Literal["auto", "float32", "int8"] = "auto"
) -> LocalModel:
    """Load a model by package, file or folder, with an adapter merged in if one is given.

    With `auto` the network computes in 8-bit integers where the CPU does so without overflow. The
    answerer's form is used if the vocabulary, the adapter's before the model's, has all its tokens.

    Raises:
        ModelError: it can not be found, is not the published one, or is of a kind that is not read.
    """
    files = find_model(model, models_dir=models_dir)
    merged = load_adapter(Path(adapter), base_sha256=files.sha256) if adapter else None
    if precision == "auto":
        precision = "int8" if int8_is_exact() else "float32"
    template = load_template(files.folder, Path(adapter) if adapter else None)
    network = _load_network(files.folder, merged, precision)
    name = f"{files.name}+{Path(adapter).resolve().name}" if adapter else files.name
    fingerprint = Fingerprint(files.sha256, merged.sha256 if merged else None)
    return LocalModel(name, network, template, fingerprint, reads=merged.reads if merged else True)


def _load_network(folder: Path, adapter: Adapter | None, precision: Precision) -> Network:
    config = LlamaConfig.read(folder)
    if config is None:
        from rag_service.answering.transformers_network import (  # noqa: PLC0415 - its imports take seconds
            TransformersNetwork,
        )

        return TransformersNetwork(folder, adapter)
    weights: dict[str, Tensor] = {}
    for path in weight_files(folder):
        weights |= {name: tensor.float() for name, tensor in load_file(path).items()}
    if adapter is not None:
        merge(adapter, weights)
    return LlamaNetwork(config, weights, precision)
