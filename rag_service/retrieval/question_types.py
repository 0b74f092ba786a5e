"""What kind of answer a question asks for, and whether a sentence has something of that kind.

The question words of English, after the coarse types of Li and Roth (2002, "Learning Question
Classifiers"); a question in another language, or of another form, is of no type.
"""

import re
from typing import Literal

from rag_service.retrieval.numbers import MONTHS
from rag_service.retrieval.terms import Terms

AnswerType = Literal["time", "number", "name"]

_TIME = re.compile(
    r"\b(?:when|how long ago|(?:what|which) (?:year|date|day|month|century|decade|time|period))\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    r"\b(?:how (?:many|much|long|far|old|tall|high|big|large|deep|wide|often|fast|heavy|hot|cold|expensive)"
    r"|what (?:percent(?:age)?|number|proportion|fraction|amount|temperature|price|distance|share))\b",
    re.IGNORECASE,
)
_NAME = re.compile(
    r"\b(?:who|whom|whose|where|what (?:is|was) the name"
    r"|(?:what|which) (?:person|man|woman|king|queen|president|author|company|country|city|town|state|place"
    r"|river|island|team|band|organi[sz]ation|university|school|name))\b",
    re.IGNORECASE,
)
_YEAR = re.compile(r"\d{3,4}")


def answer_type(question: str) -> AnswerType | None:
    """Return the kind of answer that is asked for; None: any."""
    kinds: tuple[tuple[AnswerType, re.Pattern[str]], ...] = (
        ("time", _TIME),
        ("number", _NUMBER),
        ("name", _NAME),
    )
    return next((kind for kind, pattern in kinds if pattern.search(question)), None)


def has_candidate(kind: AnswerType | None, sentence: Terms, question: Terms) -> bool:
    """Whether a sentence has something of the kind that the question does not name itself."""
    if kind is None:
        return True
    if kind == "name":
        return bool(sentence.names - question.words)
    numbers = (sentence.numbers | sentence.number_words) - question.numbers - question.number_words
    if kind == "number":
        return bool(numbers)
    return any(_YEAR.fullmatch(each) or each in MONTHS or ":" in each for each in numbers)
