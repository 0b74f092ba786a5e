"""Conversations to token ids: one renderer for training and for serving.

Two forms. The shipped answerer's, ``<|im_start|>role<|im_sep|>content<|im_end|>``, has a token for
every marker. Other models keep their own chat template, in which the markers are plain text.

In both, every piece of content is encoded by itself and as plain text. Two things follow: no text
of a user or a document becomes a control token, and the ids of a prompt are a prefix of the ids of
the prompt with its answer, part by part, so what a cache holds stays valid as the turn grows.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Protocol

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from corpus.errors import ModelError
from rag_service.answering.conversation import Message, Part, PartType, SourcePassage
from rag_service.answering.markers import (
    CONTROL_TOKENS,
    NEW_TOKENS,
    ROLE_END,
    SERVICE_MARKERS,
    SYNONYMS,
    TURN_END,
    TURN_START,
    Marker,
)
from rag_service.answering.vocabulary import Vocabulary

SegmentRole = Literal["frame", "system", "user"] | PartType

_MARKS: Mapping[PartType, tuple[Marker | None, Marker | None]] = MappingProxyType(
    {
        "text": (None, None),
        "search": (Marker.SEARCH_START, Marker.SEARCH_END),
        "search_result": (Marker.RESULT_START, Marker.RESULT_END),
        "calculate": (Marker.CALC_START, Marker.CALC_END),
        "calculate_result": (Marker.RESULT_START, Marker.RESULT_END),
        "reasoning": (Marker.THINK_START, Marker.THINK_END),
        "refusal": (Marker.REFUSAL, None),
    }
)


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of ids of one origin; `trained` says whether the loss counts them."""

    role: SegmentRole
    ids: tuple[int, ...]
    trained: bool = False


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation, or a piece of one, as token ids."""

    segments: tuple[Segment, ...]

    @property
    def ids(self) -> list[int]:
        """The token ids, in order."""
        return [number for segment in self.segments for number in segment.ids]

    @property
    def loss_mask(self) -> list[bool]:
        """For each id whether training counts it: what the assistant wrote, and the end of its turn."""
        return [segment.trained for segment in self.segments for _ in segment.ids]

    @property
    def roles(self) -> list[SegmentRole]:
        """For each id whose text it is."""
        return [segment.role for segment in self.segments for _ in segment.ids]


class Template(Protocol):
    """How one model wants its conversations."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The tokenizer that the ids belong to."""

    @property
    def stop_ids(self) -> frozenset[int]:
        """Ids that end the assistant's turn."""

    @property
    def markers(self) -> Mapping[int, Marker]:
        """Ids that are markers when the model generates them."""

    @property
    def plain_markers(self) -> bool:
        """Whether markers are also looked for in generated text."""

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool = False) -> Rendered:
        """Render whole turns; `add_generation_prompt` opens the assistant's next one."""

    def render_parts(self, parts: Iterable[Part], *, first_number: int = 1) -> Rendered:
        """Render parts that are put into an open turn of the assistant.

        `first_number` is the number of the next passage: in one turn they are numbered through.
        """


class AnswererTemplate:
    """The shipped answerer's form; its vocabulary has all of `CONTROL_TOKENS`."""

    plain_markers = False

    def __init__(self, vocabulary: Vocabulary) -> None:
        if missing := [token for token in CONTROL_TOKENS if token not in vocabulary.control]:
            raise ModelError(f"The vocabulary lacks {', '.join(missing)}; use the tokenizer of the adapter.")
        self.vocabulary = vocabulary
        self.stop_ids = _stop_ids(vocabulary, TURN_END)
        self.markers: Mapping[int, Marker] = {
            vocabulary.control[marker]: marker for marker in Marker if marker not in SERVICE_MARKERS
        }

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool = False) -> Rendered:
        """Render whole turns; see `Template`."""
        segments: list[Segment] = []
        for message in messages:
            segments += self._opening(message.role)
            if message.role == "assistant":
                segments += self.render_parts(message.parts).segments
            else:
                segments.append(Segment(message.role, tuple(self.vocabulary.encode(message.text))))
            segments.append(Segment("frame", self._control(TURN_END), trained=message.role == "assistant"))
        if add_generation_prompt:
            segments += self._opening("assistant")
        return Rendered(tuple(segments))

    def render_parts(self, parts: Iterable[Part], *, first_number: int = 1) -> Rendered:
        """Render parts of an open turn; see `Template`."""
        return Rendered(tuple(_part_segments(parts, first_number, self.vocabulary, self._control)))

    def _opening(self, role: str) -> list[Segment]:
        ids = (*self._control(TURN_START), *self.vocabulary.encode(role), *self._control(ROLE_END))
        return [Segment("frame", ids)]

    def _control(self, token: str) -> tuple[int, ...]:
        return (self.vocabulary.control[token],)


def answerer_vocabulary(base: Vocabulary) -> Vocabulary:
    """Return the base model's vocabulary with the answerer's new tokens, at the next free ids."""
    return base.with_control_tokens(NEW_TOKENS)


class OwnTemplate:
    """A model's own chat template, written in Jinja.

    The template is rendered with a placeholder for each turn's content; what stands between the
    placeholders is the frame, in which control tokens count, and the contents are put in as plain
    text. So no content passes through the template.
    """

    plain_markers = True

    def __init__(self, vocabulary: Vocabulary, source: str, *, names: Mapping[str, str], end: str) -> None:
        """`names` are variables such as `bos_token`; `end` is the token that ends a turn."""
        self.vocabulary = vocabulary
        self.stop_ids = _stop_ids(vocabulary, end)
        self.markers = {
            vocabulary.control[text]: marker
            for text, marker in SYNONYMS.items()
            if text in vocabulary.control
        }
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.globals["raise_exception"] = _refuse
        self._template = environment.from_string(source)
        self._names = dict(names)

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool = False) -> Rendered:
        """Render whole turns; see `Template`."""
        frames = self._frames(messages, add_generation_prompt=add_generation_prompt)
        segments = [Segment("frame", tuple(self.vocabulary.encode_frame(frames[0])))]
        for message, frame in zip(messages, frames[1:], strict=True):
            if message.role == "assistant":
                segments += self.render_parts(message.parts).segments
            else:
                segments.append(Segment(message.role, tuple(self.vocabulary.encode(message.text))))
            segments += self._frame_after(message, frame)
        return Rendered(tuple(segments))

    def render_parts(self, parts: Iterable[Part], *, first_number: int = 1) -> Rendered:
        """Render parts of an open turn; see `Template`."""
        plain = _part_segments(
            parts, first_number, self.vocabulary, lambda token: tuple(self.vocabulary.encode(token))
        )
        return Rendered(tuple(plain))

    def _frames(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> list[str]:
        placeholders = [f"\ue000{n}\ue001" for n in range(len(messages))]
        turns = [
            {"role": message.role, "content": placeholder}
            for message, placeholder in zip(messages, placeholders, strict=True)
        ]
        try:
            text = self._template.render(
                messages=turns, add_generation_prompt=add_generation_prompt, **self._names
            )
        except TemplateError as error:
            raise ModelError(f"The model's chat template refuses the conversation: {error}.") from error
        frames = []
        for placeholder in placeholders:
            frame, found, text = text.partition(placeholder)
            if not found:
                raise ModelError("The model's chat template leaves a turn out; use another model.")
            frames.append(frame)
        return [*frames, text]

    def _frame_after(self, message: Message, frame: str) -> Iterator[Segment]:
        """The frame behind a turn; after the assistant's, its first token ends the turn."""
        ids = tuple(self.vocabulary.encode_frame(frame))
        ends = message.role == "assistant" and ids[:1] and ids[0] in self.stop_ids
        if ends:
            yield Segment("frame", ids[:1], trained=True)
        if rest := ids[1:] if ends else ids:
            yield Segment("frame", rest)


def load_template(folder: Path, adapter: Path | None = None) -> Template:
    """Return the form of the model in `folder`: the answerer's if the vocabulary has all its tokens.

    An adapter's tokenizer, if it has one, takes the place of the model's.

    Raises:
        ModelError: the model has no chat template.
    """
    place = adapter if adapter and (adapter / "tokenizer.json").is_file() else folder
    vocabulary = Vocabulary.from_file(place / "tokenizer.json")
    if all(token in vocabulary.control for token in CONTROL_TOKENS):
        return AnswererTemplate(vocabulary)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    beside = folder / "chat_template.jinja"
    source = beside.read_text(encoding="utf-8") if beside.is_file() else config.get("chat_template")
    names = {name: _token_text(config[name]) for name in ("bos_token", "eos_token") if config.get(name)}
    if not isinstance(source, str) or "eos_token" not in names:
        raise ModelError(
            f"{folder.name} has no chat template or no eos_token; use an instruction-tuned model."
        )
    return OwnTemplate(vocabulary, source, names=names, end=names["eos_token"])


def _token_text(value: object) -> str:
    return str(value["content"]) if isinstance(value, dict) else str(value)


def passages_text(passages: Sequence[SourcePassage], first_number: int = 1) -> str:
    """Return numbered passages, the form in which a model reads them: ``[1] Title``, text, blank line."""
    blocks = []
    for number, passage in enumerate(passages, first_number):
        title = f" {passage.title}" if passage.title else ""
        blocks.append(f"[{number}]{title}\n{passage.text}")
    return "\n\n".join(blocks)


def marked_text(part: Part, first_number: int = 1) -> tuple[Marker | None, str, Marker | None]:
    """Return the marker before a part, its text and the marker after it; passages get numbers."""
    before, after = _MARKS[part.type]
    text = passages_text(part.passages, first_number) if part.type == "search_result" else part.text
    return before, text, after


def _part_segments(
    parts: Iterable[Part],
    first_number: int,
    vocabulary: Vocabulary,
    marker_ids: Callable[[str], tuple[int, ...]],
) -> Iterator[Segment]:
    number = first_number
    for part in parts:
        before, text, after = marked_text(part, number)
        number += len(part.passages)
        ids = (
            *(marker_ids(before) if before else ()),
            *vocabulary.encode(text),
            *(marker_ids(after) if after else ()),
        )
        yield Segment(part.type, ids, trained=part.written_by_model)


def _stop_ids(vocabulary: Vocabulary, end: str) -> frozenset[int]:
    texts = (end, "<|endoftext|>")
    return frozenset(vocabulary.control[text] for text in texts if text in vocabulary.control)


def _refuse(message: str) -> str:
    raise TemplateError(message)
