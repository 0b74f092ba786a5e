"""Measures on texts and on questions, each one a pure function; how they add up, with intervals."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np
from numpy.typing import NDArray

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_MARKERS = re.compile(r"\s*\[\d+\]")
RESAMPLES = 1000
LEAST_RUN = 4  # words


def without_markers(answer: str) -> str:
    """Return the answer without its citation markers, which are no words of it."""
    return _MARKERS.sub("", answer)


def words(text: str) -> list[str]:
    """Return the words of `text` in SQuAD's normal form.

    As in the official script (Rajpurkar et al. 2016): small letters, no punctuation, no articles. The
    script knows ASCII punctuation alone; here every Unicode punctuation mark and symbol goes, so that
    minus signs and typographic quotes agree with their plain forms. As there, signs and decimal points
    go too: "-3.1" equals "31".
    """
    kept = "".join(char for char in unicodedata.normalize("NFKC", text).lower() if not _is_mark(char))
    return _ARTICLES.sub(" ", kept).split()


def _is_mark(char: str) -> bool:
    return unicodedata.category(char)[0] in "PS"


def exact_match(answer: str, gold: Sequence[str]) -> bool:
    """Whether the answer equals one of the gold answers in normal form."""
    return any(words(answer) == words(each) for each in gold)


def contains_gold(answer: str, gold: Sequence[str]) -> bool:
    """Whether the words of one gold answer stand in the answer, in one piece; no match inside words."""
    found = f" {' '.join(words(answer))} "
    return any(f" {' '.join(words(each))} " in found for each in gold if words(each))


def token_f1(answer: str, gold: Sequence[str]) -> float:
    """Return the greatest F1 of shared words over the gold answers (SQuAD); 0.0 without any."""
    return max((_f1(words(answer), words(each)) for each in gold), default=0.0)


def _f1(answer: list[str], gold: list[str]) -> float:
    shared = (Counter(answer) & Counter(gold)).total()
    if not answer or not gold:
        return float(answer == gold)
    return 2 * shared / (len(answer) + len(gold))


def overlaps(quote: str, gold: str) -> bool:
    """Whether the longest run of words that both share is at least half of the shorter text.

    The run must also have four words, or all of a shorter gold text: a heading that names the gold
    sentence's subject does not overlap it.
    """
    one, two = words(quote), words(gold)
    if not one or not two:
        return False
    run = SequenceMatcher(None, one, two, autojunk=False).find_longest_match()
    return run.size >= max(min(len(one), len(two)) / 2, min(LEAST_RUN, len(two)))


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share with its 95% interval. All are None when no question counted.

    `count` is how many questions counted, that is, had a denominator above zero.
    """

    value: float | None
    low: float | None
    high: float | None
    count: int


def estimate(shares: Sequence[tuple[float, float]], *, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """Add up one (numerator, denominator) a question to a share, with a bootstrap interval.

    The interval goes from the 2.5th to the 97.5th percentile of the share over `resamples` draws of
    as many questions with replacement (Efron & Tibshirani 1993, ch. 13). Draws in which nothing
    counts are left out. The same shares and seed give the same interval.
    """
    table = np.asarray(shares, dtype=np.float64).reshape(-1, 2)
    numerator, denominator = table.sum(axis=0)
    if denominator == 0:
        return Estimate(None, None, None, 0)
    low, high = np.percentile(_resampled(table, resamples, seed), [2.5, 97.5])
    count = int(np.count_nonzero(table[:, 1]))
    return Estimate(float(numerator / denominator), float(low), float(high), count)


def _resampled(table: NDArray[np.float64], resamples: int, seed: int) -> NDArray[np.float64]:
    draws = np.random.default_rng(seed).integers(len(table), size=(resamples, len(table)))
    sums = table[draws].sum(axis=1)
    counted: NDArray[np.float64] = sums[sums[:, 1] > 0]
    return counted[:, 0] / counted[:, 1]
