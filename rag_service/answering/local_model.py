"""A chat model in this process: torch, one live context, keys and values kept between turns."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
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
    Sampling,
    Skill,
    Usage,
)
from rag_service.answering.conversation import Message, Part
from rag_service.answering.generation import GeneratedText, common_length, is_loop, token_chooser
from rag_service.answering.llama import LlamaConfig, LlamaNetwork, Precision
from rag_service.answering.markers import Call, Delta, Marker
from rag_service.answering.model_files import find_model, weight_files
from rag_service.answering.network import Network
from rag_service.answering.template import Template, load_template
from rag_service.answering.turn_queue import TurnQueue

_PREFILL_TOKENS = 128  # read at once; between two such pieces a caller that is gone is noticed


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
        self._queue = TurnQueue()
        self._context: list[int] = []  # the ids that the network's keys and values are of

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
            cached = min(common_length(ids, self._context), len(ids) - 1)
            self._network.truncate(cached)
            del self._context[cached:]
            yield LocalTurn(self._network, self.template, self._context, ids, cancelled)


class LocalTurn:
    """See `Turn`."""

    def __init__(
        self,
        network: Network,
        template: Template,
        context: list[int],
        prompt: list[int],
        cancelled: Cancelled,
    ) -> None:
        """`context` holds what the network has read, and is kept up to date."""
        self._network = network
        self._template = template
        self._context = context
        self._cancelled = cancelled
        self._unread = prompt[len(context) :]
        self._logits: Tensor | None = None
        self._next_number = 1
        self.usage = Usage(prompt_tokens=len(prompt), cached_tokens=len(context))
        self._check_length()

    @property
    def transcript(self) -> str:
        """See `Turn`."""
        return self._template.vocabulary.decode([*self._context, *self._unread])

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

    def _begin(self, wanted: Marker) -> list[int]:
        """Write a marker in the model's place, if it has it; return its ids."""
        ids = [number for number, marker in self._template.markers.items() if marker is wanted]
        self._unread += ids
        return ids

    def _next_id(self, choose: Callable[[Tensor], int]) -> int:
        """Read what is unread and choose the token after it."""
        began, count = time.perf_counter(), len(self._unread)
        while self._unread or self._logits is None:
            if self._cancelled():
                raise GenerationCancelled("Nobody waits for this answer any more.")
            piece, self._unread = self._unread[:_PREFILL_TOKENS], self._unread[_PREFILL_TOKENS:]
            self._logits = self._network.forward(piece)
            self._context += piece
        number = choose(self._logits)
        milliseconds = (time.perf_counter() - began) * 1000
        self._account(milliseconds, is_prefill=count > 1)
        return number

    def _account(self, milliseconds: float, *, is_prefill: bool) -> None:
        usage = replace(self.usage, completion_tokens=self.usage.completion_tokens + 1)
        if is_prefill:
            self.usage = replace(usage, prefill_ms=usage.prefill_ms + milliseconds)
        else:
            self.usage = replace(usage, decode_ms=usage.decode_ms + milliseconds)

    def _has_room(self) -> bool:
        return len(self._context) + len(self._unread) < self._network.context_length

    def _check_length(self) -> None:
        length = len(self._context) + len(self._unread)
        if length >= self._network.context_length:
            raise PromptTooLong(
                f"The prompt has {length} tokens; the model takes fewer than {self._network.context_length}. "
                "Ask something shorter or use fewer passages."
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
