"""Numbers and dates in one form, whatever way a text writes them.

1,200 and 1200 and "1.2 thousand" are one number, 06:30 and 6:30 one time; 12 March 2019 and 2019-03-12
have the same three parts.
"""

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation

_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}  # powers of ten
_MONTH_NAMES = "january february march april may june july august september october november december"
_SHORT_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec"
_SMALL = (
    "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"

_MONTHS_IN_ORDER = tuple(_MONTH_NAMES.split())
MONTHS = {
    **{month: month for month in _MONTHS_IN_ORDER},
    **dict(zip(_SHORT_MONTHS.split(), _MONTHS_IN_ORDER, strict=True)),
    "sept": "september",
}
_VALUES = {
    "zero": 0,
    **{word: value for value, word in enumerate(_SMALL.split(), start=2)},
    **{word: 10 * value for value, word in enumerate(_TENS.split(), start=2)},
}

# A word behind a number that may be what it counts: no small word, as in "85 for adults".
WORD_BEHIND = (
    r"[\s-](?!(?:and|or|to|for|in|on|at|by|of|from|until|with|per|plus|minus|times|an?|the|is|was|are|were|it"
    r"|do|does|cost|each|which|that)\b)[^\W\d_]+"
)
_SPACES = "\u00a0\u2009\u202f"  # that do not break: 12 000
_SCALE = f"(?P<scale>{'|'.join(_SCALES)})"
_ISO_DATE = re.compile(r"\b(\d{4})-(\d{2})-(\d{2})\b")
_NUMBER = re.compile(rf"\d+(?:[.,:{_SPACES}'\u2019]\d+)*(?:[ -]{_SCALE}\b)?", re.IGNORECASE)
_GROUPED = re.compile(rf"\d{{1,3}}(?:[,{_SPACES}'\u2019]\d{{3}})+(?:\.\d+)?")
_MONTH = re.compile(rf"\b({'|'.join(sorted(MONTHS, key=len, reverse=True))})\b\.?", re.IGNORECASE)
_ONE_OF_A_SCALE = rf"one(?= (?:{'|'.join(_SCALES)}))"
_NUMBER_WORDS = re.compile(
    rf"\b(?:(?P<tens>{'|'.join(_TENS.split())})[ -](?P<unit>one|{'|'.join(_SMALL.split()[:8])})"
    rf"|(?P<alone>{'|'.join(_VALUES)}|{_ONE_OF_A_SCALE}))(?:[ -]{_SCALE})?\b",
    re.IGNORECASE,
)


def numbers_in(text: str) -> frozenset[str]:
    """Return the numbers written in digits, and the months of dates, each in its one form."""
    return frozenset(_numbers(text))


def number_words_in(text: str) -> frozenset[str]:
    """Return the numbers written in letters, in the form that `numbers_in` gives.

    "One" alone is left out: mostly it counts nothing.
    """
    return frozenset(_number_words(text))


def placed_numbers(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield each number in figures or letters, in the form of `numbers_in`, and the characters it takes."""
    for match in _NUMBER.finditer(text):
        yield _form_of(match), match.start(), match.end()
    for match in _NUMBER_WORDS.finditer(text):
        yield _form_of_words(match), match.start(), match.end()


def plain_number(digits: str) -> str:
    """Return a number's one form, as `numbers_in` gives it."""
    return _one_form(digits, 0)


def _numbers(text: str) -> Iterator[str]:
    for year, month, day in _ISO_DATE.findall(text):
        if 1 <= int(month) <= len(_MONTHS_IN_ORDER):
            yield from (year, _MONTHS_IN_ORDER[int(month) - 1], str(int(day)))
    rest = _ISO_DATE.sub(" ", text)
    for match in _NUMBER.finditer(rest):
        yield _form_of(match)
    for match in _MONTH.finditer(rest):
        if match[1][0].isupper() and _stands_in_a_date(rest, match):
            yield MONTHS[match[1].lower()]


def _form_of(match: re.Match[str]) -> str:
    scale = match["scale"]
    digits = match[0][: -len(scale) - 1] if scale else match[0]
    return _one_form(digits, _SCALES[scale.lower()] if scale else 0)


def _one_form(digits: str, power: int) -> str:
    if ":" in digits:
        return ":".join(part.lstrip("0") or "0" for part in digits.split(":"))
    plain = (
        re.sub(rf"[,{_SPACES}'\u2019]", "", digits)
        if _GROUPED.fullmatch(digits)
        else digits.replace(",", ".")
    )
    try:
        return _plain(Decimal(plain) if power == 0 else Decimal(plain).scaleb(power))
    except InvalidOperation:
        return digits  # 1.2.3, 12.03.2019


def _stands_in_a_date(text: str, match: re.Match[str]) -> bool:
    """Whether a month has a number beside it: "May" and "March" are other words as well."""
    before, after = text[max(0, match.start() - 8) : match.start()], text[match.end() : match.end() + 8]
    return bool(re.search(r"\d(?:st|nd|rd|th)?(?: of)?[ -]$", before) or re.match(r",?[ -]\d", after))


def _number_words(text: str) -> Iterator[str]:
    return (_form_of_words(match) for match in _NUMBER_WORDS.finditer(text))


def _form_of_words(match: re.Match[str]) -> str:
    value = sum(_VALUES.get(word.lower(), 1) for word in match.group("tens", "unit", "alone") if word)
    power = _SCALES[match["scale"].lower()] if match["scale"] else 0
    return _plain(Decimal(value).scaleb(power))


def _plain(value: Decimal) -> str:
    """Return 1200 for 1.2E+3, for 1200.00 and for 01200."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
