"""Refusals: a status with a reason, and the fixed set of phrases by which prose is known as one."""

import re
from typing import Literal

RefusalReason = Literal["no_evidence", "insufficient", "unverified"]

SENTENCES: dict[RefusalReason, str] = {
    "no_evidence": "I found nothing in the documents that answers this.",
    "insufficient": "The documents touch on this, but do not answer it.",
    "unverified": "I could not back an answer to this with the documents, so I give none.",
}
# Every phrase was read in answers of models that this project was tried with, or of those that MT-RAG has
# (benchmarks/refusals.py lists them). An answer that begins with one is a refusal; one that only contains it
# ("Ann said that she does not know") is not, nor is one that goes on with what it does know ("..., but").
_PHRASES = (
    r"i (?:do not|don't) know",
    (
        r"i (?:(?:do not|don't) have|have no) (?:(?:any|enough|sufficient|specific|that|this|the) )*"
        r"(?:information|knowledge|details)"
    ),
    r"i(?: am|'m) (?:not sure|unable to|not able to)",
    r"i (?:can ?not|can't|could not|couldn't) (?:find|answer|determine|tell)",
    r"i found nothing in the documents",
    r"(?:i am |i'm )?(?:sorry|unfortunately),? (?:but )?i (?:do not|don't|can ?not|can't|have no)",
    r"the (?:given |provided )?(?:passages?|documents?|context|sources?|texts?) do(?:es)?(?: not|n't)",
    r"(?:the|this) (?:question|information) can ?not be (?:answered|found)",
    r"(?:the|this) information is not (?:given|provided|mentioned|available)",
    r"there is no (?:information|mention)",
    r"not (?:mentioned|stated|specified|given) in the (?:passages?|documents?|context|text)",
)
_REFUSAL = re.compile(rf"\W*(?:{'|'.join(_PHRASES)})\b", re.IGNORECASE)
_GOES_ON = re.compile(r"\b(?:but|however|nevertheless|nonetheless|that said)\b", re.IGNORECASE)


def is_refusal(text: str) -> bool:
    """Tell whether an answer's text is a refusal: it begins as one and has nothing else to say."""
    found = _REFUSAL.match(text.replace("\u2019", "'"))
    return found is not None and _GOES_ON.search(text, found.end()) is None
