"""What kind of answer a question asks for, and whether a sentence has something of that kind.

The question words of English, after the coarse types of Li and Roth (2002, "Learning Question
Classifiers"); a question in another language, or of another form, is of no type.
"""

import re
from typing import Literal

from rag_service.retrieval.numbers import MONTHS, number_words_in, numbers_in
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
_SUM = re.compile(
    r"\b(?:together|altogether|(?:in|of) (?:all|total)|total|sum|combined|and back|both|plus|minus|times"
    r"|twice|double|half|average|per ?cent|difference|left|remain\w*|still"
    r"|how (?:much|many|far|long) (?:more|less|fewer|longer|further)"
    r"|(?:more|less|fewer|older|younger|longer|shorter|higher|lower|cheaper) (?:\w+ )?than)\b",
    re.IGNORECASE,
)


def answer_type(question: str) -> AnswerType | None:
    """Return the kind of answer that is asked for; None: any."""
    kinds: tuple[tuple[AnswerType, re.Pattern[str]], ...] = (
        ("time", _TIME),
        ("number", _NUMBER),
        ("name", _NAME),
    )
    return next((kind for kind, pattern in kinds if pattern.search(question)), None)


_COSTS = re.compile(r"\b(?:costs?|price|pay)\b", re.IGNORECASE)
_MUST_COMPUTE = re.compile(
    r"\b(?:together|altogether|combined(?! (?:ticket|pass|card|offer|deal|menu|tour)s?\b)|and back|still to"
    r"|left to|difference between|how (?:much|many|far|long) (?:more|less|fewer|longer|further))\b",
    re.IGNORECASE,
)
_WHETHER = (
    r"(?:^|[.?!]\s+)(?:and |but |so )?(?:is|are|was|were|do|does|did|has|have|had|can|could|may|must|shall"
    r"|should|will|would)\b"
)
_ASKS_WHETHER = re.compile(rf"{_WHETHER}[^.?!]*\?*\s*$", re.IGNORECASE)
_HOW_TO = re.compile(
    r"\bhow (?:(?:do|can|could|may|must|should|shall|would) (?:i|we|you|one))\b"
    r"|(?:^|[.?!,]\s|\b(?:explain|describe|know|me|us) )how to\b"
    r"|\bwhat (?:do|can|must|should|shall) (?:i|we|you|one) do\b",
    re.IGNORECASE,
)
# "Is it A or B?", "Who won, A or B?"; not "Who keeps A or B?"
_CHOICE = re.compile(rf"(?:{_WHETHER}|[,:]\s)[^.?!]*\bor\b", re.IGNORECASE)
# "Could you tell me what it costs?" is answered by no yes
_ASKS_POLITELY = re.compile(
    r"\b(?:tell|show|give|help|let) (?:me|us)\b|\b(?:who|what|when|where|which|why|how)\b", re.IGNORECASE
)
_GREETING = re.compile(
    r"^\s*(?:hi|hello|hey|dear|good (?:morning|afternoon|evening|day))\b(?!-)"
    r"(?:\s+(?:all|everyone|there|team|(?-i:[A-Z])[\w'\u2019-]*)){0,3}\s*[,.!\n]+\s*",
    re.IGNORECASE,
)
_YOURSELF = re.compile(
    r"^(?:and |so |but )?(?:who|what)(?: exactly)? are you(?: really)?[\s?.!]*$|\byour name\b"
    r"|\bintroduce yourself\b"
    r"|\bwho (?:made|built|created|trained|developed) you\b|\bwhat (?:sort|kind) of \w+ are you\b"
    r"|^are you (?:an? )?(?:human|person|robot|bot|ai|machine|chatgpt|gpt|language model|real)\b",
    re.IGNORECASE,
)
_FEWEST_ASKED = 3  # words behind a greeting
_MOST_READ = 1000  # characters of a question, from its end
_IN_TOTAL = re.compile(r"\b(?:in total|in all|total)\b", re.IGNORECASE)


def needs_a_sum(question: str) -> bool:
    """Tell whether an answer is surely to be computed: amounts put together, or something counted in all."""
    amount = answer_type(question) == "number" or bool(_COSTS.search(question))
    counted = bool(counts_in(question)) and bool(_IN_TOTAL.search(question))
    return amount and (counted or bool(_MUST_COMPUTE.search(question)))


def asks_whether(question: str) -> bool:
    """Tell whether a question wants a yes or a no."""
    found = _ASKS_WHETHER.search(_end_of(question))
    return found is not None and not (_ASKS_POLITELY.search(found[0]) or offers_a_choice(found[0]))


def asks_how_to(question: str) -> bool:
    """Tell whether a question wants to know how something is done."""
    return bool(_HOW_TO.search(_end_of(question)))


def offers_a_choice(question: str) -> bool:
    """Tell whether a question names what its answer may be: one of several things."""
    return bool(_CHOICE.search(_end_of(question)))


def _end_of(question: str) -> str:
    """Return what is asked of a long message, on one line: longer ones take these expressions too long."""
    return " ".join(question.split())[-_MOST_READ:]


def asks_who_answers(question: str) -> bool:
    """Tell whether a question is about whoever answers it: "who are you?"."""
    return bool(_YOURSELF.search(without_greeting(_end_of(question))))


def without_greeting(question: str) -> str:
    """Return the question without the greeting before it, whose name is nothing that is asked about."""
    rest = _GREETING.sub("", question)
    return rest if len(rest.split()) >= _FEWEST_ASKED else question


def may_need_a_sum(question: str) -> bool:
    """Tell whether an answer may have to be computed: something is counted, or amounts are put together.

    A year counts nothing.
    """
    return bool(counts_in(question)) or bool(_SUM.search(question))


def counts_in(question: str) -> frozenset[str]:
    """Return the numbers that a question counts with, in the form of `numbers_in`; no years, no dates."""
    told = numbers_in(question) | number_words_in(question)
    dated = bool(told & set(MONTHS))
    return frozenset() if dated else frozenset(each for each in told if not _YEAR.fullmatch(each))


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
