"""What a question in a conversation is searched for with.

A question that says itself what it is about is searched for alone: whatever else of the conversation is
added leads away from it. One that points back ("And which instrument does he play?") takes the latest
question along that does not, for in a row of such questions that one names what all are about. Numbers of
both ways and others are in RESULTS.md, "Follow-up questions".
"""

import re
from collections.abc import Sequence

from rag_service.retrieval.terms import composed, terms_of

_POINTING_BACK = re.compile(
    r"\b(?:it|its|they|them|their|theirs|he|him|his|she|her|hers|this|that|these|those|there|one|ones)\b",
    re.IGNORECASE,
)
_FEW = 4  # content words; a question with more says what it is about, pronouns or not


def query_of(questions: Sequence[str]) -> str:
    """Return what to search for; the last of the user's questions is asked now, the others came before."""
    asked = questions[-1]
    earlier = [each for each in questions[:-1] if each.strip()]
    if not earlier or not points_back(asked):
        return asked
    subject = next((each for each in reversed(earlier) if not points_back(each)), earlier[-1])
    return f"{subject} {asked}"


def points_back(question: str) -> bool:
    """Tell whether a question can not be understood without what came before it."""
    words = len(terms_of(question).stems)
    return words == 0 or (words <= _FEW and _POINTING_BACK.search(composed(question)) is not None)
