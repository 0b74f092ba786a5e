"""Follow-ups that point back: two questions about one subject, its name in the second left to a pronoun.

The search keeps the name, so the model learns to search for what was meant.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from random import Random

from posttrain.data.grounded import Grounded, grounded_of
from posttrain.data.more_reading import PERSON
from rag_service.answering.conversation import Record, assistant, user

_PERSONAL = re.compile(r"\b(?:he|his|she|her)\b", re.IGNORECASE)
_OWNER = "(?P<owner>['\u2019]s)?"  # with either apostrophe
_OPENING = 200  # characters in which a page says that it is about a person
_OPENINGS = ("", "", "", "And ", "and ", "OK, ", "Thanks. ")


def pointing_back(records: Iterable[Record], *, seed: int = 0) -> Iterator[Record]:
    """Yield pairs of answers about one passage whose second question names the passage's title.

    The name of somebody who was born becomes he or she, as the passage says it, of anything else it.
    """
    random = Random(seed)  # noqa: S311 - variety, not secrecy
    before: Grounded | None = None
    for record in records:
        parts = grounded_of(record)
        if parts is None or len(parts.gold) != 1 or len(parts.history) != 1:
            continue
        if before and before.gold[0].id == parts.gold[0].id and (made := _pointing(before, parts, random)):
            yield made
        before = parts


def _pointing(before: Grounded, parts: Grounded, random: Random) -> Record | None:
    gold = parts.gold[0]
    name = gold.title.partition(" (")[0]
    # Not within a longer name ("Holocene Rhine-Meuse delta"), and its article goes with it.
    place = re.search(
        rf"(?<![\w-])(?<![A-Z]\w )(?i:(?:the )?{re.escape(name)}){_OWNER}(?![\w-])(?! [A-Z])", parts.question
    )
    if not name or place is None or name.lower() not in f"{before.question} {before.reply[0].text}".lower():
        return None
    personal = _PERSONAL.search(gold.text) if PERSON.search(gold.text[:_OPENING]) else None
    word = "it" if personal is None else "he" if personal[0].lower() in {"he", "his"} else "she"
    if personal and place.end() == len(parts.question.rstrip("?. ")):
        return None  # "Who married him?" would need another case
    if place["owner"]:
        word = {"it": "its", "he": "his", "she": "her"}[word]
    asked = parts.question[: place.start()] + word + parts.question[place.end() :]
    opening = random.choice(_OPENINGS)
    asked = opening + (asked[:1].lower() + asked[1:] if opening and opening[-2:] != ". " else asked)
    _, found, *reply = parts.record.messages[-1].parts
    turn = assistant(replace(parts.search, text=parts.question), found, *reply)
    history = (user(before.question), assistant(before.reply[0].text), user(asked))
    return replace(parts.record, id=f"{parts.record.id}-pointing-back", messages=(*history, turn))
