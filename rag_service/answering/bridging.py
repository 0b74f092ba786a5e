"""Questions about a time that another event tells: the event is looked up, and its date put in its place.

"Who led the station in the year in which the Lantern was opened?" One passage says when the Lantern was
opened, another who led the station then. So the first is asked for by itself, and the second with the year.
"""

import re
from dataclasses import dataclass

from rag_service.answering.looking_up import Fact, LookUp
from rag_service.retrieval.amounts import MONTHS_IN_ORDER, Date, date_in

_AT_A_TIME = re.compile(
    r"^(?P<asked>(?:which|who|whom|whose|what|where|how)\b.+?)\s"
    r"(?:(?:in|during|on)\sthe\s(?:same\s|very\s)?(?P<unit>year|month|day)\s"
    r"(?P<link>of\s|that\s|when\s|as\s|(?:in|on|during)\swhich\s)?|(?P<plain>when\s))"
    r"(?P<event>[^,;?]+?)\s*\?$",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"^(?P<subject>.+?)\s(?P<be>was|were)\s(?P<rest>.+)$", re.IGNORECASE)
_PARTS = {"year": 1, "month": 2, "day": 3}
_MOST_CHARACTERS = 300  # of a question that a person asks so
# What stands behind "in the year" and tells no event, or one of somebody who stands elsewhere.
_NO_EVENT = re.compile(
    rf"(?:\d|(?:before|after|following|for|is|are|was|were|he|she|it|they|this|that|there|we|i|you|my|your|our|his|her"
    rf"|their|its|{'|'.join(MONTHS_IN_ORDER)})\b)",
    re.IGNORECASE,
)
_ANY_TIME = re.compile(
    r"\b(?:i|we|you|do|does|should|can|could|may|must|will|would|happens)\b", re.IGNORECASE
)
_PAST = re.compile(r"\b(?:was|were|\w+ed)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class AtATime:
    """What is asked, the question for when, and how many parts of a date count: 1 for a year."""

    asked: str
    when: str
    parts: int


@dataclass(frozen=True, slots=True)
class Bridge:
    """The question with the date in the event's place, and what tells the date."""

    question: str
    fact: Fact


def time_in(question: str) -> AtATime | None:
    """Return what a question asks about the time of an event; None if it does not."""
    question = " ".join(question.split())
    match = _AT_A_TIME.match(question) if len(question) <= _MOST_CHARACTERS else None
    if match is None or _NO_EVENT.match(match["event"]):
        return None
    if match["plain"] and _ANY_TIME.search(match["asked"]):  # "what do I do when" asks for no year
        return None
    event, linked = match["event"], match["link"] or match["plain"]
    if not linked and not _PAST.search(event):
        return None
    if clause := _CLAUSE.match(event):
        when = f"When {clause['be']} {clause['subject']} {clause['rest']}?"
    elif (match["link"] or "").lower() == "of ":
        when = f"When was {event}?"
    elif match["plain"]:
        return None
    else:
        when = f"When did {event}?"
    return AtATime(match["asked"], when, _PARTS[(match["unit"] or "year").lower()])


def bridge(time: AtATime, look_up: LookUp) -> Bridge | None:
    """Look the event's date up; None if it is not found, or not as exactly as it is asked for."""
    fact = look_up(time.when)
    date = date_in(fact.text) if fact else None
    if fact is None or date is None or len(date) < time.parts:
        return None
    return Bridge(f"{time.asked} {_in_words(date[: time.parts])}?", fact)


def _in_words(date: Date) -> str:
    """Return "in 1998", "in January 1998", "on 22 January 1998"."""
    year, *rest = date
    if not rest:
        return f"in {year}"
    month = MONTHS_IN_ORDER[rest[0] - 1].capitalize()
    return f"on {rest[1]} {month} {year}" if len(rest) > 1 else f"in {month} {year}"
