"""Where a model's own words do not hold, the sentence that answers best speaks for itself.

A base model of 135 million parameters often garbles what it read. Its garbled sentence fails
verification; rather than give nothing, the answer is then the sentence of the sources that fits the
question best, word for word.
"""

from collections.abc import Sequence

import numpy as np

from corpus.embedding import Embedder
from corpus.sentences import sentence_spans
from rag_service.retrieval.passages import Passage
from rag_service.retrieval.question_types import answer_type, has_candidate
from rag_service.retrieval.terms import Terms, terms_of

_MOST = 24  # sentences that are embedded
_SHORTEST = 12  # characters; headings and remains of tables say nothing by themselves


def quote_best_sentence(question: str, passages: Sequence[Passage], embedder: Embedder) -> str | None:
    """Return the passages' sentence that fits the question best; None if none has any of its words."""
    asked = terms_of(question)
    kind = answer_type(question)
    scored = sorted(
        ((_overlap(asked, terms_of(sentence)), sentence) for sentence in _sentences(passages)),
        key=lambda item: -item[0],
    )[:_MOST]
    candidates = [(share, sentence) for share, sentence in scored if share > 0]
    if not candidates:
        return None
    sentences = [sentence for _, sentence in candidates]
    cosines = embedder.embed_passages(sentences) @ embedder.embed_queries([question])[0]
    fitting = [has_candidate(kind, terms_of(sentence), asked) for sentence in sentences]
    scores = cosines + [share for share, _ in candidates] + 0.3 * np.array(fitting, dtype=np.float32)
    return sentences[int(np.argmax(scores))]


def _sentences(passages: Sequence[Passage]) -> list[str]:
    texts = (passage.text[start:end] for passage in passages for start, end in sentence_spans(passage.text))
    return [text for text in dict.fromkeys(texts) if len(text) >= _SHORTEST]


def _overlap(asked: Terms, said: Terms) -> float:
    stems = frozenset(asked.stems)
    return len(stems.intersection(said.stems)) / max(1, len(stems))
