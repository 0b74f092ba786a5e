"""Text to token ids and back, with control tokens strictly apart from plain text."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import MappingProxyType

from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import DecodeStream

from corpus.errors import ModelError


class Vocabulary:
    """A tokenizer in two halves: plain text, and the tokens that only a template may write.

    Control tokens are the tokenizer's added tokens, special or not (some models add runs of white
    space; those are harmless). `encode` works with a copy of the tokenizer without added tokens, so
    their text in a document or a question becomes ordinary tokens.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        description = json.loads(tokenizer.to_str())
        control = [token for token in description["added_tokens"] if token["content"].strip()]
        description["added_tokens"] = []
        description["truncation"] = description["padding"] = None
        self._full = tokenizer
        self._plain = Tokenizer.from_str(json.dumps(description))
        self.control = MappingProxyType({token["content"]: int(token["id"]) for token in control})
        self._control_ids = frozenset(self.control.values())
        self._texts = {number: text for text, number in self.control.items()}
        self.size: int = tokenizer.get_vocab_size()
        for text in self.control:  # a model whose plain vocabulary contains them can not be kept safe
            self.encode(text)

    @classmethod
    def from_file(cls, path: Path) -> "Vocabulary":
        """Read a `tokenizer.json`."""
        return cls(Tokenizer.from_file(str(path)))

    def with_control_tokens(self, tokens: Iterable[str]) -> "Vocabulary":
        """Return a copy that also has these control tokens; new ones get the next free ids."""
        tokenizer = Tokenizer.from_str(self._full.to_str())
        tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in tokens])
        return Vocabulary(tokenizer)

    def save(self, path: Path) -> None:
        """Write a `tokenizer.json`."""
        self._full.save(str(path))

    def encode(self, text: str) -> list[int]:
        """Return the ids of plain text; never one of a control token.

        Lone surrogates, which no encoding can carry, count as U+FFFD.

        Raises:
            ModelError: the tokenizer writes a control token for plain text.
        """
        ids: list[int] = self._plain.encode(_encodable(text), add_special_tokens=False).ids
        if not self._control_ids.isdisjoint(ids):
            raise ModelError("This tokenizer can turn plain text into control tokens; use another model.")
        return ids

    def encode_frame(self, text: str) -> list[int]:
        """Return the ids of a template's own text, in which control tokens count."""
        ids: list[int] = self._full.encode(text, add_special_tokens=False).ids
        return ids

    def count(self, text: str) -> int:
        """Return how many tokens plain text takes."""
        return len(self.encode(text))

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, control tokens by their names."""
        stream = self.text_stream()
        return "".join(stream.feed(number) for number in ids) + stream.flush()

    def matching(self, form: re.Pattern[str]) -> dict[int, str]:
        """Return the plain tokens whose whole text has this form, by their ids."""
        texts = ((number, self._plain.decode([number])) for number in self._plain.get_vocab().values())
        return {number: text for number, text in texts if form.fullmatch(text)}

    def text_stream(self) -> "TextStream":
        """Return a decoder for ids that arrive one by one."""
        return TextStream(self._plain, self._texts)


class TextStream:
    """Decodes ids one by one; a character comes out when its last byte is there, never in parts."""

    def __init__(self, plain: Tokenizer, control: dict[int, str]) -> None:
        self._plain = plain
        self._control = control
        self._stream = DecodeStream(skip_special_tokens=False)
        self._waiting: list[int] = []

    def feed(self, number: int) -> str:
        """Return the text that this id completes, maybe none."""
        if number in self._control:
            return self.flush() + self._control[number]
        self._waiting.append(number)
        text = self._stream.step(self._plain, number)
        if text is None:
            return ""
        self._waiting.clear()
        return text

    def flush(self) -> str:
        """Return what is left: the remains of a character that never became whole, as U+FFFD."""
        rest: str = self._plain.decode(self._waiting, skip_special_tokens=False) if self._waiting else ""
        self._waiting.clear()
        self._stream = DecodeStream(skip_special_tokens=False)
        return rest


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
