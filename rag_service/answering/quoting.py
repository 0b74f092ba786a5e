"""What a model that was not trained for this gets to read, and what speaks where its words do not hold.

A base model of 135 million parameters loses the thread in whole passages and garbles what it read
(docs/decisions/0043-untrained-models.md has the numbers). So it reads the few sentences that fit the
question best; and where its own sentence does not hold against the first of them, the answer is that
sentence of the sources, word for word.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from corpus.embedding import Embedder
from corpus.sentences import sentence_spans
from rag_service.retrieval.numbers import numbers_in
from rag_service.retrieval.passages import Passage
from rag_service.retrieval.question_types import AnswerType, answer_type, has_candidate
from rag_service.retrieval.readings import MOST_MARGIN, Reading
from rag_service.retrieval.terms import Terms, composed, plain_word, stem, terms_of

FACTS = 4  # sentences that a small model reads
_MOST = 24  # sentences that are embedded
_BEFORE = 2  # sentences in which a pronoun's name may stand
_SHORTEST = 12  # characters; headings and remains of tables say nothing by themselves
_READ = 0.25  # what a reader's margin of 1 counts, beside a cosine
_FIRST_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)?")
_NUMBERED = re.compile(r"^[\d.]+ ")  # of a section
_HASHES = re.compile(r"^#+ ")  # of a heading in Markdown
_PLAIN = re.compile(r"\d+(?:\.\d+)?")  # no time, no month
_RATE = re.compile(r"\b(?:an?|per|each|every)\s+(\w{3,})")


def best_sentences(
    question: str,
    passages: Sequence[Passage],
    embedder: Embedder,
    readings: Sequence[Reading] | None = None,
) -> list[str]:
    """Return the passages' sentences that share words with the question, the best fit first.

    A name in the question must stand in the sentence, in the two before it, or in title and headings:
    what one generator burns is no answer about another. A sentence that begins with another name is left out
    where one says as much of a name in the question. The fit is the cosine, plus the share of the
    question's words, plus 0.3 if the sentence has something of the kind that is asked for (a number, a
    date, a name). Where a reader has read the passages, how likely it finds an answer in the sentence counts
    most, and one in which an answer is likelier than none need not share a word.
    """
    asked, kind = terms_of(question), answer_type(question)
    margins = _sentences(passages, asked.names, readings)
    shares = {sentence: _overlap(asked, terms_of(sentence)) for sentence in margins}
    fitting = [each for each in margins if shares[each] > 0 or margins[each] > 0]
    ordered = sorted(fitting, key=lambda each: -(shares[each] + _READ * margins[each]))[:_MOST]
    sentences = _without_others(ordered, passages, asked)
    if not sentences:
        return []
    cosines = embedder.embed_passages(sentences) @ embedder.embed_queries([question])[0]
    scores = cosines + np.array([_fit(each, asked, kind, shares, margins) for each in sentences])
    return [sentences[place] for place in np.argsort(-scores, kind="stable")]


def _without_others(sentences: Sequence[str], passages: Sequence[Passage], asked: Terms) -> list[str]:
    """Return the sentences without those about another than the question, where one about its own is there.

    Such a one begins with another name, has none of the question's, and a sentence that has one shares all
    the question's words that it shares: "Bertil burns 15 litres." beside "Agnes burns 13 at normal load."
    """
    terms = {sentence: terms_of(sentence) for sentence in sentences}
    shared = {each: frozenset(asked.stems).intersection(terms[each].stems) for each in sentences}
    own = [shared[each] for each in sentences if asked.names & terms[each].words]
    return [
        each
        for each in sentences
        if asked.names & terms[each].words
        or not any(shared[each] < better for better in own)
        or not _begins_with_another_name(each, passages, asked)
    ]


def _begins_with_another_name(sentence: str, passages: Sequence[Passage], asked: Terms) -> bool:
    """A first word is a name if the passage has it with a capital elsewhere than where a sentence begins."""
    first = _FIRST_WORD.match(composed(sentence))
    name = plain_word(first[0]) if first else ""
    return stem(name) not in asked.stems and any(
        name in terms_of(passage.text).names for passage in passages if sentence in passage.text
    )


def _fit(
    sentence: str,
    asked: Terms,
    kind: AnswerType | None,
    shares: Mapping[str, float],
    margins: Mapping[str, float],
) -> float:
    wanted = has_candidate(kind, terms_of(sentence), asked)
    return shares[sentence] + 0.3 * wanted + _READ * margins[sentence]


def excerpts(passages: Sequence[Passage], facts: Sequence[str]) -> list[tuple[Passage, str]]:
    """Return the passages that hold the facts, in their order, each with the part that a small model reads.

    The part goes from the sentence before a passage's first fact to the one behind its last.
    """
    found: list[tuple[Passage, str]] = []
    left = list(facts)
    while left:
        for passage in passages:
            spans = sentence_spans(passage.text)
            holding = [n for n, (start, end) in enumerate(spans) if passage.text[start:end] in left]
            # A part of a longer sentence, cut off at another passage's edge, is no sentence here.
            if any(passage.text[slice(*spans[n])] == left[0] for n in holding):
                first, last = max(0, holding[0] - 1), min(len(spans) - 1, holding[-1] + 1)
                found.append((passage, passage.text[spans[first][0] : spans[last][1]]))
                left = [fact for fact in left if fact not in passage.text]
                break
        else:
            left.pop(0)
    return found


def in_excerpts(passages: Sequence[Passage], facts: Sequence[str]) -> list[Passage]:
    """Return what a small model reads of the passages; all of them where there is no fact to go by.

    The number of a section is no fact, but a small model may take it for one: a heading that begins an
    excerpt goes, as it stands in the passage's title, and lines become one.
    """
    cut = [replace(passage, text=_running(passage, part)) for passage, part in excerpts(passages, facts)]
    return cut or list(passages)


def _running(passage: Passage, part: str) -> str:
    headings = {" ".join(each.split()) for each in (*passage.heading_path, passage.document_title)}
    headings |= {_NUMBERED.sub("", each) for each in headings}  # a sentence may begin behind the number
    lines = [" ".join(line.split()) for line in part.splitlines() if line.strip()]
    while len(lines) > 1 and _HASHES.sub("", lines[0]) in headings:
        del lines[0]
    return " ".join(lines)


def agrees(said: str, found: str) -> bool:
    """Tell whether an answer has a content word or a number of what a reader found, if it found anything."""
    own, told = terms_of(said), terms_of(found)
    wanted = frozenset(told.stems) | told.numbers | told.number_words
    return not wanted or bool(wanted & (frozenset(own.stems) | own.numbers | own.number_words))


def holds(said: str, best: str, question: str) -> bool:
    """Tell whether an answer says nothing but what the best sentence says.

    Its content words and names must stand there or in the question, its numbers there; it must not deny
    what the sentence does not; and it must add something to the question. An embedding is no judge here:
    "The battery lasts 4 hours" is as near to "It lasts 40 minutes" as a right answer.
    """
    own, source, asked = terms_of(said), terms_of(best), terms_of(question)
    known = frozenset(source.stems) | frozenset(asked.stems)
    news = (frozenset(own.stems) - frozenset(asked.stems)) | (own.numbers - asked.numbers)
    return (
        bool(news)
        and known.issuperset(own.stems)
        and own.numbers <= source.numbers | source.number_words
        and own.names <= source.words | asked.words
        and (not own.negated or source.negated)
    )


def rate_times_count(question: str, sentence: str) -> str | None:
    """Return the product that a question asks for: a rate in the source, a count of its unit in the question.

    "13 litres of diesel an hour" and "in 24 hours" give ``13*24``. None unless the sentence has one number
    and the question only the count of the rate's unit: other sums need a model that was trained for them.
    """
    amounts = numbers_in(sentence)
    if len(amounts) != 1 or answer_type(question) != "number":
        return None
    for match in _RATE.finditer(sentence):
        unit = re.escape(match.group(1).rstrip("s"))
        counts = {
            number
            for counted in re.findall(rf"(\S+(?:\s\S+)?)\s+{unit}s?\b", question, re.IGNORECASE)
            for number in numbers_in(counted)
        }
        if (
            len(counts) == 1
            and counts == numbers_in(question)
            and all(_PLAIN.fullmatch(number) for number in amounts | counts)
        ):
            return f"{next(iter(amounts))}*{counts.pop()}"
    return None


def _sentences(
    passages: Sequence[Passage], names: frozenset[str], readings: Sequence[Reading] | None
) -> dict[str, float]:
    """Return the sentences that are about all of these names, each with the margin of an answer in it.

    A row of a table is about what its first row names, too. Without a reader all margins are 0.
    """
    found: dict[str, float] = {}
    for number, passage in enumerate(passages):
        place = " ".join((passage.document_title, *passage.heading_path))
        spans = sentence_spans(passage.text)
        first_row = ""
        for count, (start, end) in enumerate(spans):
            before = spans[max(0, count - _BEFORE)][0]
            sentence = passage.text[start:end]
            first_row = (first_row or sentence) if _is_row(sentence) else ""
            said = terms_of(f"{place}\n{first_row}\n{passage.text[before:end]}")
            if end - start >= _SHORTEST and names <= said.words | said.numbers:
                margin = _margin(readings[number], start, end) if readings else 0.0
                found[sentence] = max(margin, found.get(sentence, margin))
    return found


def _is_row(sentence: str) -> bool:
    return sentence.startswith("|") or "\t" in sentence


def _margin(reading: Reading, start: int, end: int) -> float:
    answer = reading.best(start, end)
    return -MOST_MARGIN if answer is None else min(max(answer.margin, -MOST_MARGIN), MOST_MARGIN)


def _overlap(asked: Terms, said: Terms) -> float:
    stems = frozenset(asked.stems)
    return len(stems.intersection(said.stems)) / max(1, len(stems))
