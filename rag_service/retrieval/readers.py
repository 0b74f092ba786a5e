"""Which readers read passages: one, or a quick one over all of them and a careful one over the best."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from corpus.memory import give_back_memory
from rag_service.retrieval.passages import Passage
from rag_service.retrieval.question_types import needs_a_sum
from rag_service.retrieval.reader import load_reader
from rag_service.retrieval.readings import Read, Readers, Reading, ReadSum, answer_logit
from rag_service.retrieval.sum_reader import load_sum_reader

_MODELS = Path(__file__).resolve().parents[2] / "models"
SHIPPED_READER, SHIPPED_LARGER_READER = _MODELS / "minilm-reader", _MODELS / "mpnet-reader"
SHIPPED_SUM_READER = _MODELS / "minilm-sums"
_CLOSELY = 3  # passages that are read with care


def configured_readers(setting: str) -> Readers | None:
    """Return what `RAG_READER` says: the reader of a folder, those that are shipped (empty), or none.

    Of those that are shipped the larger one reads again what the smaller one thinks best, and it alone reads
    two passages together.

    Errors are those of `load_reader`.
    """
    quick = quick_reader(setting)
    if quick is None:
        return None
    sums = _sum_reader()
    if setting or not SHIPPED_LARGER_READER.is_dir():
        return Readers(quick, sums=sums)
    larger = load_reader(SHIPPED_LARGER_READER)
    give_back_memory()  # four bits were floats on their way to eight
    return Readers(read_closely(quick, larger.read), larger.read_beginnings, sums)


def _sum_reader() -> ReadSum | None:
    return load_sum_reader(SHIPPED_SUM_READER).results if SHIPPED_SUM_READER.is_dir() else None


@cache
def quick_reader(setting: str) -> Read | None:
    """Return the one for many passages: as `configured_readers`, but of those that are shipped the smaller.

    The same for whoever asks in this process. Errors are those of `load_reader`.
    """
    if setting == "none" or (not setting and not SHIPPED_READER.is_dir()):
        return None
    return load_reader(Path(setting) if setting else SHIPPED_READER).read


def read_closely(quick: Read, careful: Read) -> Read:
    """Return what reads all passages quickly, and with care the few in which that finds an answer likeliest.

    There the mean of both counts: where one is sure and the other is not, they are seldom right. A careful
    reader over the best three of five tells as much as over all of them, and its time goes with what it reads
    (docs/decisions/0088-a-larger-reader-reads-again.md). A sum is no words that any reader finds.
    """

    def read(question: str, passages: Sequence[Passage]) -> Sequence[Reading]:
        readings = list(quick(question, passages))
        if needs_a_sum(question):
            return readings
        ranked = sorted(range(len(readings)), key=lambda place: -answer_logit(readings[place]))
        best = sorted(ranked[:_CLOSELY])
        again = careful(question, [passages[place] for place in best])
        for place, reading in zip(best, again, strict=True):
            readings[place] = _mean_of(readings[place], reading)
        return readings

    return read


def _mean_of(one: Reading, other: Reading) -> Reading:
    """Return the mean of two readings of one text by the same tokens."""
    return Reading(
        (one.relevance + other.relevance) / 2,
        one.spans,
        (one.starts + other.starts) * np.float32(0.5),
        (one.ends + other.ends) * np.float32(0.5),
    )
