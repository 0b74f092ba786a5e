"""Questions of which of two is more, or earlier: each is looked up by itself, and the two are compared.

"Which generator burns more, Agnes or Bertil?" No passage says it, but one says what Agnes burns, another
what Bertil does. So each is asked for with a question of its own, "How much does Agnes burn?", and the
numbers or dates that a reader finds are put side by side.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from corpus.sentences import sentence_spans
from rag_service.answering.citation_markers import take_markers
from rag_service.answering.looking_up import Fact, LookUp
from rag_service.retrieval.amounts import amount_in, date_in, order_of_amounts, order_of_dates
from rag_service.retrieval.passages import Passage
from rag_service.retrieval.terms import terms_of

_MOST_CHARACTERS = 300  # of a question that a person asks so
_EITHER = re.compile(
    r"^(?P<body>(?:which|who|what)\b[^,:?]+?)\s?[,:]\s*(?P<first>[^,:?]+?),?\s+or\s+(?P<second>[^,:?]+?)\s*\??$",
    re.IGNORECASE,
)
_THAN = re.compile(
    r"^(?P<verb>is|was|are|were|does|do|did)\s+(?P<body>.+)\s+than\s+(?P<second>[^,?]+?)\s*\?$", re.IGNORECASE
)
_OR = re.compile(r"\bor\b", re.IGNORECASE)
_BE = r"(?:is|was|are|were)"
_BECAME = {"got": "was", "gets": "is", "became": "was", "becomes": "is"}
_ADVERBS = re.compile(
    r"\b(?:much|far|even|slightly|considerably|a lot|a bit)\s(?=\w+er\b|more\b|less\b)", re.IGNORECASE
)
# What is asked then is what somebody is to do, or the other way round.
_NOT_SO = re.compile(
    r"\b(?:not|never|no|i|we|you|me|my|your|our|should|shall|can|could|may|must|might|would)\b|n't\b",
    re.IGNORECASE,
)
_FIRST = re.compile(
    r"\s(?P<word>first|earlier|earliest|later|latest|last|(?:more|most) recently)"
    r"(?P<tail>(?:\s(?:in|at|on|by)\b.*)?)$",
    re.IGNORECASE,
)
_OF_ANOTHER = re.compile(rf"^what {_BE}\b|\b(?:north|south|east|west)\b", re.IGNORECASE)
_MORE = re.compile(
    r"\s(?:the\s)?(?P<word>more|most|fewer|fewest|less|least)(?:\s(?P<what>\w+))?(?P<tail>.*)$", re.IGNORECASE
)
# What a comparative measures: how it is asked for, and whether it wants more of that.
_ADJECTIVES: dict[str, tuple[str, bool]] = {
    "long": ("long", True),
    "short": ("long", False),
    "tall": ("tall", True),
    "high": ("high", True),
    "low": ("high", False),
    "deep": ("deep", True),
    "shallow": ("deep", False),
    "wide": ("wide", True),
    "narrow": ("wide", False),
    "thick": ("thick", True),
    "thin": ("thick", False),
    "far": ("far", True),
    "near": ("far", False),
    "close": ("far", False),
    "big": ("big", True),
    "large": ("large", True),
    "small": ("large", False),
    "heavy": ("heavy", True),
    "light": ("heavy", False),
    "fast": ("fast", True),
    "slow": ("fast", False),
    "hot": ("hot", True),
    "warm": ("warm", True),
    "cold": ("cold", False),
    "cool": ("cold", False),
    "loud": ("loud", True),
    "strong": ("strong", True),
    "expensive": ("expensive", True),
    "cheap": ("expensive", False),
}
_IRREGULAR = {"farther": "far", "further": "far", "farthest": "far", "furthest": "far"}
_ENDINGS = ("er", "est")
_PAST = {"got", "had", "cost", "made", "took", "won", "ran", "sold", "held", "burned", "used"}
_RANKED = {"finished", "ranked", "placed"}  # last, first: no time
_WHEN = {"earlier", "later"}
_TIMES = {"time", "month", "year"}
_SMALL_WORDS = {"and", "or", "of", "in", "to", "for", "at", "on", "by", "with", "from"}  # of more bands
_BASES = {"has": "have", "had": "have", "does": "do", "goes": "go", "costs": "cost", "weighs": "weigh"}


@dataclass(frozen=True, slots=True)
class Form:
    """A way to ask for one of the two, whose name stands for {}; whether more of that is wanted."""

    question: str
    more: bool
    dated: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """The two, the ways to ask for one, and whether only yes or no is asked for."""

    first: str
    second: str
    forms: tuple[Form, ...]
    judged: bool = False


@dataclass(frozen=True, slots=True)
class Compared:
    """The answer, and what it rests on."""

    text: str
    facts: tuple[Fact, Fact]


def comparison_in(question: str) -> Comparison | None:
    """Return what a question compares; None if it does not, or in a way that is not known here.

    Names that are no more than a letter or a small word ("with or without") could be anything.
    """
    question = _ADVERBS.sub("", " ".join(question.split())) if len(question) <= _MOST_CHARACTERS else ""
    found: Comparison | None = None
    if match := _EITHER.match(question):
        forms = tuple(_forms(match["body"]))
        found = Comparison(match["first"], match["second"], forms) if forms else None
    elif match := _THAN.match(question):
        found = _than(match)
    return found if found and _is_name(found.first) and _is_name(found.second) else None


def _is_name(text: str) -> bool:
    """Tell whether a passage can be about this; neither is it one of three, nor a letter by itself."""
    said = terms_of(text)
    alone = any(len(each) == 1 and each.isalpha() for each in text.split())
    return bool(said.stems) and not alone and not _OR.search(text)


def _than(match: re.Match[str]) -> Comparison | None:
    """Read "is Agnes heavier than Bertil": the rest of it is that of "which is heavier"."""
    verb, words = match["verb"].lower(), match["body"].split()
    second = terms_of(match["second"])
    if second.numbers or second.number_words or _NOT_SO.search(match["body"]):
        return None
    be = re.fullmatch(_BE, verb) is not None
    for place in range(len(words) - 1, 0, -1):
        if not _begins_with_a_comparative(words[place:]):
            continue
        # In "does Agnes burn more" and "was the Ark built earlier" a word of the verb stands before it.
        start = place if be and words[place].lower() not in _WHEN else place - 1
        body = " ".join(["which", *([verb] if be else []), *words[start:]])
        if start and (forms := tuple(_forms(body))):
            return Comparison(" ".join(words[:start]), match["second"], forms, judged=True)
    return None


def _begins_with_a_comparative(words: list[str]) -> bool:
    return words[0].lower() in {"more", "less", "fewer", *_WHEN} or bool(_adjective(words[0]))


def _forms(body: str) -> Iterator[Form]:
    """Yield the ways to ask for one of what "which generator burns more diesel" compares."""
    if _OF_ANOTHER.search(body) or _NOT_SO.search(body):
        return
    if match := _FIRST.search(body):
        early = match["word"].lower() in {"first", "earlier", "earliest"}
        if body[: match.start()].rsplit(maxsplit=1)[-1].lower() in _RANKED:
            return
        yield Form(f"When {_verb(body[: match.start()])}{match['tail']}?", not early, dated=True)
        return
    if match := _MORE.search(body):
        more, what = match["word"].lower() in {"more", "most"}, match["what"] or ""
        verb = body[: match.start()].rsplit(maxsplit=1)[-1].lower()
        if re.fullmatch(_BE, verb):
            if what.lower() in _ADJECTIVES:
                yield from _by_adjective(what.lower(), verb, match["tail"], reverse=not more)
        elif verb not in _SMALL_WORDS:
            things = f"{what}{match['tail']}"
            many = any(each.endswith("s") for each in things.split()) or "few" in match["word"].lower()
            asked = f"How {'many' if many else 'much'} {things}".rstrip()
            yield Form(f"{asked} {_verb(body[: match.start()])}?", more)
        return
    words = body.split()
    for place in range(2, len(words)):
        adjective, before = _adjective(words[place]), words[place - 1].lower()
        be = _BECAME.get(before, before)
        if adjective and re.fullmatch(_BE, be):
            tail = "".join(f" {each}" for each in words[place + 1 :])
            yield from _by_adjective(adjective, be, tail, person=words[0].lower() == "who")
            return


def _by_adjective(
    adjective: str, be: str, tail: str, *, reverse: bool = False, person: bool = False
) -> Iterator[Form]:
    if adjective in {"old", "young", "new"}:
        late = (adjective != "old") ^ reverse
        things = ("founded", "built")
        for participle in ("born", *things) if person else (*things, "born"):
            yield Form(f"When was {{}} {participle}{tail}?", late, dated=True)
        yield Form(f"How old {be} {{}}{tail}?", not late)
        return
    asked, more = _ADJECTIVES[adjective]
    more ^= reverse
    if asked == "expensive":
        yield Form(f"How much does {{}} cost{tail}?", more)
    yield Form(f"How {asked} {be} {{}}{tail}?", more)
    if asked in {"cold", "warm", "hot"}:
        asked, more = ("lowest", more) if asked == "cold" else ("highest", more)
        yield Form(f"What was the {asked} temperature in {{}}{tail}?", more)


def _adjective(word: str) -> str:
    """Return the adjective of a comparative or superlative: cold for colder; nothing for other words."""
    word = word.lower()
    known = {*_ADJECTIVES, "old", "young", "new"}
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    for ending in _ENDINGS:
        stem = word.removesuffix(ending)
        forms = (stem, f"{stem}e", stem[:-1], f"{stem[:-1]}y")  # colder, larger, hotter, heavier
        if stem != word and (found := next((each for each in forms if each in known), "")):
            return found
    return ""


def _verb(before: str) -> str:
    """Return the verb that ends a text with {} for its subject: "was {} born", "does {} burn"."""
    words = before.split()
    last = words[-1].lower()
    if len(words) > 1 and re.fullmatch(_BE, words[-2].lower()):
        return f"{words[-2].lower()} {{}} {words[-1]}"
    if re.fullmatch(_BE, last):
        return f"{last} {{}}"
    if last in _PAST or last.endswith("ed") or last == "came":
        return f"did {{}} {'come' if last == 'came' else _BASES.get(last, words[-1])}"
    return f"does {{}} {_BASES.get(last, words[-1].removesuffix('s'))}"


def compared_in(question: str, look_up: LookUp) -> Compared | None:
    """Return which of two is more, if that is asked and both are found."""
    comparison = comparison_in(question)
    return compare(comparison, look_up) if comparison else None


def compare(comparison: Comparison, look_up: LookUp) -> Compared | None:
    """Look both up and compare them; None where one is not found, or where they do not tell."""
    for form in comparison.forms:
        first = _fact(form, comparison.first, look_up)
        second = _fact(form, comparison.second, look_up) if first else None
        order = _order(form, first, second) if first and second else None
        if first and second and order:
            return Compared(_answer(comparison, is_first=(order > 0) == form.more), (first, second))
    return None


def _answer(comparison: Comparison, *, is_first: bool) -> str:
    if comparison.judged:
        return "Yes" if is_first else "No"
    return comparison.first if is_first else comparison.second


def _fact(form: Form, name: str, look_up: LookUp) -> Fact | None:
    found = look_up(form.question.replace("{}", name))
    return found if found and _is_about(name, found) else None


def _is_about(name: str, fact: Fact) -> bool:
    """Tell whether all of a name's words stand in title or headings, the sentence, or the two before it."""
    spans = sentence_spans(fact.passage.text)
    text = fact.passage.text
    place = next((n for n, (start, end) in enumerate(spans) if text[start:end] == fact.sentence), None)
    near = text[spans[max(0, place - 2)][0] : spans[place][1]] if place is not None else fact.sentence
    asked, said = terms_of(name), terms_of(f"{fact.passage.full_title}\n{near}")
    return frozenset(said.stems).issuperset(asked.stems) and asked.numbers <= said.numbers


def _order(form: Form, first: Fact, second: Fact) -> int | None:
    """Return -1 if the first is less or earlier, 1 if it is more or later; None if they do not tell."""
    if (first.sentence, first.text) == (second.sentence, second.text):
        return None  # one number can not be of both
    if form.dated:
        dates = [date_in(each.text) for each in (first, second)]
        return order_of_dates(dates[0], dates[1]) if dates[0] and dates[1] else None
    amounts = [amount_in(each.text, each.sentence) for each in (first, second)]
    if form.question.startswith("How fast") and any(each and each.unit in _TIMES for each in amounts):
        return None  # the less time it takes the faster it is, over the same way
    return order_of_amounts(amounts[0], amounts[1]) if amounts[0] and amounts[1] else None


def is_about_both(question: str, text: str, in_context: Sequence[Passage]) -> bool:
    """Tell whether what an answer cites speaks of both names that a question compares; of others it may.

    Who is the older of two does not follow from what is said about one of them.
    """
    comparison = comparison_in(question)
    names = (comparison.first, comparison.second) if comparison else ()
    if not names or not all(terms_of(f"of {each}").names for each in names):
        return True
    places = {number for marker in take_markers(text)[1] for number in marker.numbers}
    cited = [each for place, each in enumerate(in_context, start=1) if place in places or not places]
    said = terms_of("\n".join(f"{each.full_title}\n{each.text}" for each in cited))
    return all(frozenset(said.stems).issuperset(terms_of(each).stems) for each in names)
