"""A question and a passage as one row of word pieces, as a reader is trained on it and reads it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from corpus.errors import ModelError
from corpus.text import encodable
from corpus.text_encoding import TokenIds, read_tokenizer

MOST_TOKENS = 384  # of a pair; a chunk of the default size has at most 256
_WINDOW, _STEP = 256, 192  # tokens, of a longer text: as a chunk, and from one to the next
_MOST_OF_QUESTION = 64
_MOST_OF_TITLE = 32

Cut = Callable[[int, int], Iterator[tuple[int, int]]]  # a text's tokens and the room: what goes into each row


@dataclass(frozen=True, slots=True)
class Pair:
    """``[CLS] question [SEP] title text [SEP]``.

    `second` is the place of the title's first token, `first_of_text` that of the text's; `spans` are the
    characters (start, end) in the text of each of its tokens. A text that is too long is cut.
    """

    ids: TokenIds
    second: int
    first_of_text: int
    spans: tuple[tuple[int, int], ...]


class PairTokenizer:
    """Makes pairs with a BERT model's tokenizer; may be called by several threads at once."""

    def __init__(self, folder: Path) -> None:
        """`folder` holds the model's ``tokenizer.json``."""
        self._tokenizer = _plain(read_tokenizer(folder))
        self._first = self._special("[CLS]")
        self._between = self._special("[SEP]")

    def pair(self, question: str, title: str, text: str) -> Pair:
        """Return the row for a question and a passage."""
        return next(self._pairs(question, title, text, _beginning))

    def windows(self, question: str, title: str, text: str) -> list[Pair]:
        """Return rows that have all of a text between them: one, or as many as a long text needs.

        Windows overlap by a quarter, so that an answer stands whole in one of them.
        """
        return list(self._pairs(question, title, text, _windows))

    def _pairs(self, question: str, title: str, text: str, cut: Cut) -> Iterator[Pair]:
        asked = self._ids(question)[:_MOST_OF_QUESTION]
        named = self._ids(title)[:_MOST_OF_TITLE]
        encoding = self._tokenizer.encode(encodable(text), add_special_tokens=False)
        room = MOST_TOKENS - len(asked) - len(named) - 3
        second = len(asked) + 2
        for start, end in cut(len(encoding.ids), room):
            ids = [self._first, *asked, self._between, *named, *encoding.ids[start:end], self._between]
            yield Pair(ids, second, second + len(named), tuple(encoding.offsets[start:end]))

    def _special(self, token: str) -> int:
        number = self._tokenizer.token_to_id(token)
        if number is None:
            raise ModelError(f"The reader's tokenizer lacks {token}, which a BERT model's has.")
        return number

    def _ids(self, text: str) -> TokenIds:
        ids: TokenIds = self._tokenizer.encode(encodable(text), add_special_tokens=False).ids
        return ids


def _beginning(count: int, room: int) -> Iterator[tuple[int, int]]:
    yield 0, min(count, room)


def _windows(count: int, room: int) -> Iterator[tuple[int, int]]:
    if count <= room:
        yield 0, count
        return
    for start in range(0, count, _STEP):
        yield start, min(start + _WINDOW, count)
        if start + _WINDOW >= count:
            return


def _plain(tokenizer: Tokenizer) -> Tokenizer:
    """A text that contains the name of a special token is read as these characters."""
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True
    return tokenizer
