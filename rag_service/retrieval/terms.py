"""What a text is about, without a model: content words, numbers, dates, names, negation.

Two texts agree in these or not, whatever their wording; the evidence score and the verification of
citations build on that. The word lists know English. In other languages words, numbers and names still
compare; the lists are silent.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import tantivy

from rag_service.retrieval.numbers import MONTHS, number_words_in, numbers_in

# Thai, kana and Han, which put no spaces between words: pairs of neighbouring characters stand for words.
_UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]+|[^\W_{_UNSPACED}]+(?:['\u2019.\-][^\W_{_UNSPACED}]+)*")
_RUN = re.compile(f"[{_UNSPACED}]{{3,}}")
_FIGURES = re.compile(r"[\d.\-]+")
_POSSESSIVE = re.compile(r"['\u2019]s?$|['\u2019]s$")
_BEFORE_SENTENCE = re.compile(r"(?:^|[.!?:;\n•*\-\u2013\u2014\"\u201c(\]])\s*$")
_NEGATION = re.compile(
    r"\b(?:no|not|never|none|nobody|nothing|neither|nor|without|cannot|unable|lacks?|lacking|fails? to"
    r"|failed to|absence of|instead of)\b|n['\u2019]t\b",
    re.IGNORECASE,
)
_STOPWORDS = """
a about above after again against all also am an and any are as at be because been before being below
between both but by can could did do does doing done down during each either else ever every few for from
further had has have having he her here hers him his how however i if in into is it its itself just let
like many may me might mine more most much must my no nor not of off often on once one only onto or other
our ours out over own per quite rather s same several shall she should since so some still such t than
that the their theirs them then there these they this those through to too under until up upon us very
was we well were what when where whether which while who whom whose why will with within without would
yes yet you your yours
"""
STOPWORDS = frozenset(_STOPWORDS.split())


@dataclass(frozen=True, slots=True)
class Terms:
    """What one text has.

    `stems` are its content words, stemmed, in order; `words` all its words in lower case, with and without
    hyphens and accents; `numbers` are written in digits (and the months of dates), `number_words` in letters,
    both in one form; `names` are capitalised words within sentences and words that mix letters and digits,
    cut at hyphens.
    """

    stems: tuple[str, ...]
    words: frozenset[str]
    numbers: frozenset[str]
    number_words: frozenset[str]
    names: frozenset[str]
    negated: bool


def composed(text: str) -> str:
    """Return the text with each letter and its accents as one character where there is one (NFC).

    Texts of PDFs and of macOS often have them apart, and an accent by itself ends a word. Offsets are of
    another text afterwards.
    """
    return unicodedata.normalize("NFC", text)


@lru_cache(maxsize=4096)
def terms_of(text: str) -> Terms:
    """Return what the text has; the last few thousand texts are remembered."""
    text = composed(text)
    found = list(_WORD.finditer(text))
    words = [word for match in found for word in _pieces(plain_word(match[0]))]
    return Terms(
        stems=tuple(stem(word) for word in words if is_content(word)),
        words=frozenset(form for word in words for form in _forms(word)),
        numbers=numbers_in(text),
        number_words=number_words_in(text),
        names=frozenset(_names(text, found)),
        negated=_NEGATION.search(text) is not None,
    )


def denials_in(text: str) -> frozenset[str]:
    """Return the words of a text that deny something; of words that end on n't the ending."""
    return frozenset(each.lower().replace("\u2019", "'") for each in _NEGATION.findall(text))


def _pieces(word: str) -> list[str]:
    """Return the word, or of a run without spaces each two neighbours."""
    return [word[i : i + 2] for i in range(len(word) - 1)] if _RUN.fullmatch(word) else [word]


def _forms(word: str) -> Iterator[str]:
    """Yield what a question may write for a word: WiFi for Wi-Fi, Jose for José."""
    yield from (word, *word.split("-"), word.replace("-", ""))
    if not word.isascii():
        bare = "".join(each for each in unicodedata.normalize("NFD", word) if not unicodedata.combining(each))
        yield from (bare, *bare.split("-"))


def plain_word(word: str) -> str:
    """Return the word in lower case, without a possessive ending."""
    return _POSSESSIVE.sub("", word).casefold().replace("\u2019", "'")


def is_content(word: str) -> bool:
    """Whether a lower-case word says something by itself: no stopword, no single letter, no number."""
    if word in STOPWORDS or word.endswith("n't"):
        return False
    return len(word) > 1 and _FIGURES.fullmatch(word) is None


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """Return the stem of a lower-case English word (Snowball's, as the lexical index uses)."""
    stems = _STEMMER.analyze(word)
    return str(stems[0]) if stems else word


_STEMMER = (
    tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace())
    .filter(tantivy.Filter.stemmer("english"))
    .build()
)


def _names(text: str, found: list[re.Match[str]]) -> Iterator[str]:
    for place, match in enumerate(found):
        if match[0][0].isupper() and _is_ordinary(text, found, place):
            continue
        first, *others = match[0].split("-")
        if _is_name(first):
            yield plain_word(first)
        in_code = first.isalpha() and first.isupper()
        yield from (plain_word(each) for each in others if _is_name(each, in_code=in_code))


def _is_name(word: str, *, in_code: bool = False) -> bool:
    """Whether a word or a part of one says which of several is meant; in a code 40B does, as in TS-40B."""
    coded = any(c.isdigit() for c in word) and any(c.isalpha() for c in word)
    return word[:1].isupper() or (coded and (in_code or not _is_measure(word)))


def _is_measure(word: str) -> bool:
    """Whether a word is a number with its unit or ending: 14km, 1990s, 3rd."""
    return re.fullmatch(r"[\d.,]+[^\W\d_]{1,3}", word) is not None


def _is_ordinary(text: str, found: list[re.Match[str]], place: int) -> bool:
    """Whether a capital says nothing: a stopword, a month, or the first word of a sentence."""
    word = found[place][0]
    plain = plain_word(word)
    if plain in STOPWORDS or plain in MONTHS or len(plain) == 1:
        return True
    if len(word) > 1 and word.isupper():
        return False
    if _BEFORE_SENTENCE.search(text[max(0, found[place].start() - 4) : found[place].start()]) is None:
        return False
    following = found[place + 1] if place + 1 < len(found) else None
    if following is None or not following[0][0].isupper():
        return True
    return plain_word(following[0]) in STOPWORDS or text[found[place].end() : following.start()] != " "
