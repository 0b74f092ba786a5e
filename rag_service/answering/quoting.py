"""What a model that was not trained for this gets to read, and what speaks where its words do not hold.

A base model of 135 million parameters loses the thread in whole passages and garbles what it read
(docs/decisions/0043-untrained-models.md has the numbers). So it reads the few sentences that fit the
question best; and where its own sentence does not hold against the first of them, the answer is that
sentence of the sources, word for word.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from corpus.embedding import Embedder
from corpus.sentences import sentence_spans
from rag_service.retrieval.numbers import numbers_in
from rag_service.retrieval.passages import Passage
from rag_service.retrieval.question_types import answer_type, has_candidate
from rag_service.retrieval.terms import Terms, terms_of

FACTS = 4  # sentences that a small model reads
_MOST = 24  # sentences that are embedded
_BEFORE = 2  # sentences in which a pronoun's name may stand
_SHORTEST = 12  # characters; headings and remains of tables say nothing by themselves
_PLAIN = re.compile(r"\d+(?:\.\d+)?")  # no time, no month
_RATE = re.compile(r"\b(?:an?|per|each|every)\s+(\w{3,})")


def best_sentences(question: str, passages: Sequence[Passage], embedder: Embedder) -> list[str]:
    """Return the passages' sentences that share words with the question, the best fit first.

    A name in the question must stand in the sentence, in the two before it, or in title and headings:
    what one generator burns is no answer about another. The fit is the cosine, plus the share of the
    question's words, plus 0.3 if the sentence has something of the kind that is asked for (a number, a
    date, a name).
    """
    asked, kind = terms_of(question), answer_type(question)
    shared = sorted(
        ((_overlap(asked, terms_of(sentence)), sentence) for sentence in _sentences(passages, asked.names)),
        key=lambda item: -item[0],
    )[:_MOST]
    found = [(share, sentence) for share, sentence in shared if share > 0]
    if not found:
        return []
    sentences = [sentence for _, sentence in found]
    cosines = embedder.embed_passages(sentences) @ embedder.embed_queries([question])[0]
    fitting = np.array([has_candidate(kind, terms_of(each), asked) for each in sentences], dtype=np.float32)
    scores = cosines + np.array([share for share, _ in found]) + 0.3 * fitting
    return [sentences[place] for place in np.argsort(-scores, kind="stable")]


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
    """Return what a small model reads of the passages; all of them where there is no fact to go by."""
    cut = [replace(passage, text=part) for passage, part in excerpts(passages, facts)]
    return cut or list(passages)


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


def _sentences(passages: Sequence[Passage], names: frozenset[str]) -> list[str]:
    """Return the sentences that are about all of these names."""
    found: dict[str, None] = {}
    for passage in passages:
        place = " ".join((passage.document_title, *passage.heading_path))
        spans = sentence_spans(passage.text)
        for number, (start, end) in enumerate(spans):
            before = spans[max(0, number - _BEFORE)][0]
            said = terms_of(f"{place}\n{passage.text[before:end]}")
            if end - start >= _SHORTEST and names <= said.words | said.numbers:
                found[passage.text[start:end]] = None
    return list(found)


def _overlap(asked: Terms, said: Terms) -> float:
    stems = frozenset(asked.stems)
    return len(stems.intersection(said.stems)) / max(1, len(stems))
