"""Questions about the user's own documents, written by a chat model and kept if they survive a round trip.

The answerer is trained for this task too (`posttrain.data.writing`), so that it can write about documents
that must not leave the house; a larger model behind RAG_CHAT_BASE_URL writes better ones.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal

from posttrain.asking import ask
from posttrain.data.reading import Source, grounded_record, split_of
from posttrain.data.writing import WrittenQuestion, read_question, writing_messages
from rag_service.answering.chat_model import ChatModel, Sampling
from rag_service.answering.conversation import Message, Part, Record, SourcePassage, assistant, user
from rag_service.answering.markers import Delta
from rag_service.evaluation.measures import contains_gold, token_f1, without_markers

Fate = Literal["kept", "unreadable", "not in the text", "gives itself away", "repeated", "lost on the way"]
_OPENING = "Question:"
# What an untrained model is shown first: of 16 passages of the demo corpus it then asked something that
# can be read about 12, without them about none.
_EXAMPLES = (
    (
        SourcePassage(
            "", "The mill was built in 1874 by the brothers Adler. It ground rye until 1921.", "The mill"
        ),
        "Who built the mill?",
        "the brothers Adler",
    ),
    (
        SourcePassage(
            "", "Tours of the caves begin at the upper gate and take 40 minutes.", "Visiting the caves"
        ),
        "How long does a tour of the caves take?",
        "40 minutes",
    ),
)
_LONGEST_ANSWER = 15  # words
_SAME_F1 = 0.5


def write_questions(
    passages: Iterable[SourcePassage],
    model: ChatModel,
    source: Source,
    *,
    each: int = 1,
    seed: int = 0,
    dev_percent: int = 5,
    report: Callable[[Fate], None] = lambda _fate: None,
) -> Iterator[Record]:
    """Yield a record for every question that can be read, fits the passage and comes back.

    `report` is told what became of each of the `each` questions that a passage gets.
    """
    for passage in passages:
        kept: list[WrittenQuestion] = []
        for number in range(each):
            written = _write(passage, model, seed=seed + number, greedy=number == 0)
            fate = _fate(written, kept, passage, model)
            report(fate)
            if fate == "kept" and written:
                kept.append(written)
                yield _record(written, passage, number, source, dev_percent)


def _write(passage: SourcePassage, model: ChatModel, *, seed: int, greedy: bool) -> WrittenQuestion | None:
    sampling = Sampling(max_tokens=80, temperature=0.0 if greedy else 0.7, seed=seed)
    if model.skill == "trained":
        return read_question(ask(model, writing_messages(passage), sampling=sampling).text)
    with model.begin((*_example_turns(), *writing_messages(passage))) as turn:
        turn.append(Part("text", _OPENING))
        said = [item.text for item in turn.generate(sampling) if isinstance(item, Delta)]
    return read_question(_OPENING + "".join(said))


def _example_turns() -> Iterator[Message]:
    for passage, question, answer in _EXAMPLES:
        yield from writing_messages(passage)
        yield assistant(f"{_OPENING} {question}\nAnswer: {answer}")


def _fate(
    written: WrittenQuestion | None, kept: list[WrittenQuestion], passage: SourcePassage, model: ChatModel
) -> Fate:
    if written is None or len(written.answer.split()) > _LONGEST_ANSWER:
        return "unreadable"
    if not contains_gold(f"{passage.title} {passage.text}", [written.answer]):
        return "not in the text"
    if contains_gold(written.question, [written.answer]):
        return "gives itself away"
    if any(written.question.lower() == other.question.lower() for other in kept):
        return "repeated"
    return "kept" if _comes_back(written, passage, model) else "lost on the way"


def _comes_back(written: WrittenQuestion, passage: SourcePassage, model: ChatModel) -> bool:
    """Whether the model, with the passage before it, gives the same answer."""
    reply = ask(model, (user(written.question),), [passage], sampling=Sampling(max_tokens=60))
    text = without_markers(reply.text)
    same = contains_gold(text, [written.answer]) or token_f1(text, [written.answer]) >= _SAME_F1
    return same and not reply.refused


def _record(
    written: WrittenQuestion, passage: SourcePassage, number: int, source: Source, dev_percent: int
) -> Record:
    return grounded_record(
        f"written-{passage.id}-{number}",
        written.question,
        passage,
        [written.answer],
        split=split_of(passage.title or passage.id, dev_percent=dev_percent),
        source=source,
    )


def tally(fates: Mapping[Fate, int]) -> str:
    """Return a line: how many questions were written, how many kept, and why others were not."""
    total = sum(fates.values())
    others = ", ".join(f"{count} {fate}" for fate, count in fates.items() if fate != "kept")
    return f"{total} questions written, {fates.get('kept', 0)} kept" + (f" ({others})" if others else "")
