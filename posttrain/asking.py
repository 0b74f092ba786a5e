"""One turn of a chat model over given passages, through the service's own prompt and tool loop."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date

from corpus.embedding import Embedder
from rag_service.answering.chat_model import ChatModel, LikelySum, Sampling
from rag_service.answering.comparing import compared_in, is_about_both
from rag_service.answering.conversation import Message, SourcePassage
from rag_service.answering.judging import LIKELIER_THAN_NOT, Judgement, judge
from rag_service.answering.looking_up import LookingUp
from rag_service.answering.markers import Call, Delta
from rag_service.answering.prompt import Prompt, build_prompt, system_text
from rag_service.answering.quoting import in_excerpts
from rag_service.answering.reading_together import said_together
from rag_service.answering.refusals import SENTENCES, is_refusal
from rag_service.answering.sums import computed_from, used_numbers
from rag_service.answering.tools import ToolCall, ToolLoop, calculator_for
from rag_service.answering.two_readers import Said, as_sentence, markers, settle
from rag_service.answering.whole_sentences import rather_whole
from rag_service.answering.word_problems import solve
from rag_service.retrieval.passages import Passage, Scores
from rag_service.retrieval.readings import Readers

DAY = date(2026, 1, 5)  # what the system message calls today: always the same, so that runs compare


@dataclass(frozen=True, slots=True)
class Written:
    """What a model wrote: its visible text, whether that is a refusal, its use of tools.

    `read` are the passages that fitted the context, in the order of their numbers.
    """

    text: str
    refused: bool = False
    calls: tuple[ToolCall, ...] = ()
    read: tuple[SourcePassage, ...] = ()


def ask(
    model: ChatModel,
    messages: Sequence[Message],
    passages: Sequence[SourcePassage] = (),
    *,
    sampling: Sampling,
    embedder: Embedder | None = None,
    readers: Readers | None = None,
    in_steps: bool = True,
) -> Written:
    """Let the model write a turn, as the service does after a search, or without any if it is off.

    With an embedder a trained model reads excerpts, as it does in the service, where the evidence score lets
    it; else whole passages. With the service's `readers` they are those that these find best, and what is
    asked about two is looked up by itself first, unless `in_steps` says otherwise.
    """
    found = [as_retrieved(number, passage) for number, passage in enumerate(passages)]
    judgement = Judgement(1.0)
    if embedder and model.skill == "trained" and found:
        asked = messages[-1].text
        if in_steps and readers and model.reads and (told := _compared(asked, found, embedder, readers)):
            return Written(told, read=tuple(passages))
        if readers and not model.reads:
            readers = replace(readers, together=None)  # as in the service
        judgement = judge(asked, asked, found, embedder, readers)
        if not judgement.is_enough(asked, reads=model.reads):
            return Written(SENTENCES["no_evidence"], refused=True)
        found = in_excerpts(found, judgement.excerpted)
        sampling = replace(
            sampling, refusing=judgement.evidence < LIKELIER_THAN_NOT, calculator=calculator_for(asked)
        )
    asking = _Asking(model, _prompt(model, messages, found, sampling, search=bool(passages)), sampling)
    prompt = asking.prompt
    if readers and readers.sums and not passages and model.skill == "trained":
        earlier = [message.text for message in messages[:-1] if message.role != "system"]
        events = list(solve(messages[-1].text, earlier, asking.turn, asking.likeliest_sums, readers.sums))
    else:
        events = list(asking.turn())
    said = [item for item in events if isinstance(item, Delta)]
    read_passages = [passages[each.chunk_id] for each in prompt.in_context]
    calls = tuple(item for item in events if isinstance(item, ToolCall))
    written = _written(said, calls, read_passages)
    asked = messages[-1].text
    if judgement.told and model.reads:
        written = _settled(written, judgement, asked, prompt.in_context)
    if (
        readers
        and model.reads
        and prompt.in_context
        and not is_about_both(asked, written.text, prompt.in_context)
    ):
        return replace(written, text=SENTENCES["insufficient"], refused=True)
    return written


def _compared(question: str, found: Sequence[Passage], embedder: Embedder, readers: Readers) -> str | None:
    """Return which of two is more, with the places of what says so, if that is asked and told."""
    compared = compared_in(question, LookingUp(lambda _: found, embedder, readers))
    if compared is None:
        return None
    places = markers([fact.passage.chunk_id for fact in compared.facts], found)
    return as_sentence(f"{compared.text}{places}.")


@dataclass(frozen=True, slots=True)
class _Asking:
    """Turns of a model behind one prompt, without a search."""

    model: ChatModel
    prompt: Prompt
    sampling: Sampling

    def turn(self, *, given: str = "") -> Generator[Delta | ToolCall]:
        loop = ToolLoop(None, list(self.prompt.in_context))
        with self.model.begin(self.prompt.messages) as turn:
            turn.append(*self.prompt.opening)
            yield from loop.run(turn, self.sampling, given=given)

    def likeliest_sums(self, numbers: frozenset[str], *, most_steps: int) -> Iterator[LikelySum]:
        with self.model.begin(self.prompt.messages) as turn:
            turn.append(*self.prompt.opening)
            yield from turn.likeliest_sums(numbers, most_steps=most_steps)


def _settled(written: Written, judgement: Judgement, question: str, in_context: Sequence[Passage]) -> Written:
    """Where a reader has read as well: whose words stand, as in the service; but a sum is tried once."""
    computed = computed_from(question, written.calls, [passage.text for passage in in_context])
    used = used_numbers(written.calls) if computed else frozenset()
    said = Said(written.text, written.refused, computed, used)
    joined = judgement.joined and said_together(question, said, judgement.joined, in_context)
    settled = settle(judgement.asked or question, said, judgement.told, judgement.evidence, in_context)
    text = joined or rather_whole(settled, judgement.stated, question)
    if text is None:
        return replace(written, text=SENTENCES["insufficient"], refused=True)
    return replace(written, text=text, refused=False)


def first_move(
    model: ChatModel, messages: Sequence[Message], *, sampling: Sampling
) -> tuple[Written, Call | None]:
    """Let the model write until its turn ends or it asks for a tool, which it does not get."""
    prompt = _prompt(model, messages, [], sampling, search=True)
    with model.begin(prompt.messages) as turn:
        items = list(turn.generate(sampling))
    call = next((item for item in items if isinstance(item, Call)), None)
    return _written([item for item in items if isinstance(item, Delta)]), call


def _prompt(
    model: ChatModel,
    messages: Sequence[Message],
    found: Sequence[Passage],
    sampling: Sampling,
    *,
    search: bool,
) -> Prompt:
    return build_prompt(
        model,
        messages,
        found,
        query=messages[-1].text,
        max_tokens=sampling.max_tokens,
        opening=system_text(DAY, search=search if model.skill == "trained" else None),
    )


def _written(
    said: Sequence[Delta], calls: tuple[ToolCall, ...] = (), read: Sequence[SourcePassage] = ()
) -> Written:
    text = "".join(item.text for item in said if item.kind != "reasoning").strip()
    refused = is_refusal(text) or any(item.kind == "refusal" for item in said)
    return Written(text, refused, calls, tuple(read))


def as_retrieved(number: int, passage: SourcePassage) -> Passage:
    """Return a passage as retrieval would; its chunk's id is its place."""
    return Passage(
        chunk_id=number,
        document_id=passage.id,
        external_id=passage.id,
        document_title=passage.title,
        document_version=1,
        collection_id="",
        text=passage.text,
        page=None,
        start=0,
        end=len(passage.text),
        heading_path=(),
        metadata={},
        scores=Scores(None, None, 0.0),
        chunking="",
        position=0,
    )
