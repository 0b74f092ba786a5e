"""The story of one answer: find passages, let the model write, hold what it wrote against them.

Events come as things happen, so that a reader sees passages before words and words before the end. The
last event is `Done`, with the whole answer.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from corpus.embedding import Embedder
from corpus.errors import PromptTooLong
from rag_service.answering.bridging import bridge, time_in
from rag_service.answering.calculator import calculate
from rag_service.answering.chat_model import (
    Cancelled,
    ChatModel,
    Fingerprint,
    GenerationCancelled,
    Sampling,
)
from rag_service.answering.citation_markers import take_markers
from rag_service.answering.citations import Citation, CitedAnswer, cite_answer, cite_sentences
from rag_service.answering.comparing import compared_in, is_about_both
from rag_service.answering.conversation import user
from rag_service.answering.draft import Answer, AnswerRequest, Draft, Timings
from rag_service.answering.judging import LIKELIER_THAN_NOT, Judgement, judge
from rag_service.answering.looking_up import LookingUp, LookUp
from rag_service.answering.markers import Delta
from rag_service.answering.prompt import (
    Prompt,
    build_facts_prompt,
    build_prompt,
    system_text,
    tool_text,
)
from rag_service.answering.quoting import agrees, holds, in_excerpts, rate_times_count
from rag_service.answering.reading_together import said_together
from rag_service.answering.refusals import SENTENCES, RefusalReason, is_refusal
from rag_service.answering.sums import compute, is_computed, used_numbers
from rag_service.answering.tools import Search, ToolCall, calculator_for
from rag_service.answering.two_readers import Said, hopeless, settle
from rag_service.answering.verification import Entails
from rag_service.answering.whole_sentences import rather_whole
from rag_service.answering.word_problems import solve
from rag_service.answering.writing import Writing
from rag_service.retrieval.evidence import evidence_score
from rag_service.retrieval.follow_ups import query_of
from rag_service.retrieval.numbers import numbers_in
from rag_service.retrieval.passages import Passage
from rag_service.retrieval.question_types import asks_who_answers
from rag_service.retrieval.readings import Readers
from rag_service.retrieval.search import Retriever, SearchRequest, SearchResult

__all__ = ["Answer", "AnswerRequest", "Answerer", "Done", "Event", "Found", "Timings"]

_BRIEFLY = Sampling(max_tokens=48, stop=("\n",))


@dataclass(frozen=True, slots=True)
class Found:
    """The first event: what was found."""

    passages: tuple[Passage, ...]
    generation: str | None


@dataclass(frozen=True, slots=True)
class Done:
    """The last event: all of it."""

    answer: Answer


Event = Found | ToolCall | Delta | Citation | Done


class Answerer:
    """Answers questions; may be called by several threads at once."""

    def __init__(
        self,
        retriever: Retriever,
        embedder: Embedder,
        chat_model: ChatModel,
        *,
        identity: str = "",
        entails: Entails | None = None,
        readers: Readers | None = None,
    ) -> None:
        """`identity` begins every system message; `entails` verifies in the place of the score.

        `readers` tell better than the embedder alone where passages answer.
        """
        self._retriever = retriever
        self._embedder = embedder
        self._model = chat_model
        self._identity = identity
        self._entails = entails
        self._readers = readers

    @property
    def fingerprint(self) -> Fingerprint:
        """What tells the chat model's weights."""
        return self._model.fingerprint

    def answer(self, request: AnswerRequest, *, cancelled: Cancelled = lambda: False) -> Answer:
        """Return the whole answer.

        Raises:
            CollectionNotFound, EmbedderMismatch: as `Retriever.search`.
            PromptTooLong: the conversation does not fit the model's context.
            GenerationCancelled: `cancelled` became true.
        """
        *_, last = self.stream(request, cancelled=cancelled)
        if not isinstance(last, Done):
            raise GenerationCancelled("Nobody waits for this answer any more.")
        return last.answer

    def stream(self, request: AnswerRequest, *, cancelled: Cancelled = lambda: False) -> Iterator[Event]:
        """Yield what happens, `Done` last; if `cancelled` became true it is missing.

        Errors are those of `answer`.
        """
        draft = Draft(request, time.perf_counter(), self._model.name)
        draft.found = self._find(request, draft)
        look_up = self._look_up(request, draft)
        bridged = self._bridged(request, draft, look_up) if look_up else None
        yield Found(draft.passages, draft.generation)
        if look_up and (compared := _compared(request, draft, look_up)):
            yield from _told(draft, compared)
            return
        reason = None if bridged else self._why_not(request, draft)
        if reason and asks_who_answers(request.question) and self._model.skill != "none":
            draft.forget_passages()  # no document says it, and the model knows
            request, reason = replace(request, mode="never"), None
        if reason:
            yield from _refused(draft, reason)
            return
        request = bridged or request
        try:
            yield from self._write(request, draft, cancelled)
        except GenerationCancelled:
            return
        yield from self._check(request, draft)

    @property
    def _reads_along(self) -> bool:
        """Whether a reader reads beside a model that reads."""
        return self._readers is not None and self._model.reads and self._model.skill != "instructed"

    def _look_up(self, request: AnswerRequest, draft: Draft) -> LookUp | None:
        """Return what looks facts up on the way to the answer, where a question is searched for as it is."""
        search = self._search_tool(request)
        if draft.found is None or draft.rewritten_query or search is None:
            return None
        if self._readers is None or not self._reads_along:
            return None
        return LookingUp(search, self._embedder, self._readers)

    def _bridged(self, request: AnswerRequest, draft: Draft, look_up: LookUp) -> AnswerRequest | None:
        """Return the request with a date for the event that it names, where the passages answer that."""
        time_asked = time_in(request.question)
        found = bridge(time_asked, look_up) if time_asked else None
        if found is None:
            return None
        asked = replace(request, messages=(*request.messages[:-1], user(found.question)))
        before, draft.rewritten_query = draft.found, found.question
        draft.found = self._retriever.search(_search_request(asked, found.question))
        if self._judge(asked, draft) or not any(each.margin > 0 for each in draft.told):
            draft.found, draft.rewritten_query = before, None
            return None
        draft.bridge = found
        return asked

    def _find(self, request: AnswerRequest, draft: Draft) -> SearchResult | None:
        """Search first, unless the model is to decide, and can."""
        decides = request.mode == "auto" and self._model.skill != "none"
        if request.mode == "never" or decides:
            return None
        query = _query_of(request)
        draft.rewritten_query = query if query != request.question else None
        return self._retriever.search(_search_request(request, query))

    def _why_not(self, request: AnswerRequest, draft: Draft) -> RefusalReason | None:
        """Return why what was found does not do; chooses what an untrained model reads of it."""
        return None if draft.found is None else self._judge(request, draft)

    def _judge(self, request: AnswerRequest, draft: Draft) -> RefusalReason | None:
        passages = draft.passages or draft.read
        if self._model.skill == "instructed":  # a large model reads whole passages
            judgement = Judgement(evidence_score(draft.query, passages, self._embedder))
        else:
            readers = self._readers
            # What two passages tell together counts only where the model reads well enough to confirm it.
            if readers and (request.on_no_evidence == "answer" or not self._model.reads):
                readers = replace(readers, together=None)
            judgement = judge(request.question, draft.query, passages, self._embedder, readers)
        draft.evidence, draft.told, draft.joined = judgement.evidence, judgement.told, judgement.joined
        draft.asked, draft.stated = judgement.asked, judgement.stated
        draft.facts, draft.best = ((), judgement.best) if self._model.reads else (judgement.best, ())
        draft.excerpted = judgement.excerpted if self._model.reads else ()
        if request.on_no_evidence == "answer":
            return None
        enough = judgement.is_enough(draft.query, reads=self._model.reads)
        if self._model.reads:
            return None if enough else "no_evidence"
        if not draft.facts:
            return "insufficient" if passages else "no_evidence"
        computed = rate_times_count(draft.query, draft.facts[0])  # its count is no number of the sources
        return None if computed or enough else "no_evidence"

    def _write(self, request: AnswerRequest, draft: Draft, cancelled: Cancelled) -> Iterator[Event]:
        """Let the model write; its text and its use of tools are collected in the draft.

        The words of a model that does not read well, or beside which a reader has read, are shown only once
        they were checked.
        """
        prompt = self._prompt(request, draft)
        writing = Writing(
            self._model, draft, prompt, self._search_tool(request), cancelled, withholds=self._reads_along
        )
        untrained = bool(draft.facts) and self._model.skill == "none"
        if untrained and request.reasoning:
            yield from writing.steps()
        refusing = draft.evidence is None or draft.evidence < LIKELIER_THAN_NOT
        sampling = replace(
            request.sampling,
            reasoning=request.reasoning,
            refusing=refusing,
            calculator=calculator_for(draft.query) if draft.passages else "may",
        )
        sampling = _BRIEFLY if untrained else sampling
        draft.withheld = bool(draft.facts or draft.told or draft.stated)
        if draft.told and not draft.facts and sampling.calculator == "must":
            # Nobody is to see the sums of tries that were given up.
            compute(writing, sampling, self._readers.sums if self._readers else None)
            yield from draft.tool_calls
        elif self._readers and self._readers.sums and not draft.passages and self._model.skill == "trained":
            yield from solve(
                draft.query,
                [message.text for message in request.messages[:-1]],
                partial(writing.turn, sampling),
                writing.likeliest_sums,
                self._readers.sums,
            )
        else:
            yield from writing.turn(sampling)

    def _prompt(self, request: AnswerRequest, draft: Draft) -> Prompt:
        opening = self._opening(request)
        if draft.facts and self._model.skill == "none":
            return build_facts_prompt(request.question, draft.facts, draft.passages, opening)
        prompt = build_prompt(
            self._model,
            request.messages,
            in_excerpts(draft.passages, draft.excerpted or draft.facts),
            query=draft.query,
            max_tokens=request.sampling.max_tokens,
            opening=opening,
        )
        draft.shown = {each.chunk_id: each.text for each in prompt.in_context}
        if draft.passages and not prompt.in_context and request.on_no_evidence == "refuse":
            raise PromptTooLong(
                "The conversation leaves no room for a passage to answer from. "
                "Ask something shorter, shorten the system message, or set a lower max_tokens."
            )
        whole = {each.chunk_id: each for each in draft.passages}
        return replace(prompt, in_context=tuple(whole[each.chunk_id] for each in prompt.in_context))

    def _opening(self, request: AnswerRequest) -> str:
        """The system message: ours, and behind it what the caller adds."""
        search = request.mode != "never" if self._model.skill == "trained" else None
        today = datetime.now(UTC).date()
        lines = [system_text(today, request.description, search=search, identity=self._identity)]
        if self._model.skill == "instructed":
            lines.append(tool_text(search=request.mode != "never", reasoning=request.reasoning))
        if self._model.skill != "none":
            lines += [message.text for message in request.messages if message.role == "system"]
        return "\n".join(lines)

    def _search_tool(self, request: AnswerRequest) -> Search | None:
        if request.mode == "never":
            return None
        return lambda query: self._retriever.search(_search_request(request, query)).passages

    def _check(self, request: AnswerRequest, draft: Draft) -> Iterator[Event]:
        """Refusals become a status; sentences are held against what the model read, and cited."""
        judged = self._reads_along or not self._model.reads
        searched_itself = draft.read and draft.found is None and judged
        if searched_itself and (reason := self._judge(request, draft)):
            yield from _refused(draft, reason)
            return
        text = self._settled(draft) if draft.told and not draft.facts else draft.text
        if text is None or (not draft.facts and not draft.told and _is_refusal(draft)):
            yield from _refused(draft, "insufficient" if draft.read else "no_evidence")
            return
        refuses = self._reads_along and bool(draft.read) and request.on_no_evidence == "refuse"
        if refuses and not is_about_both(draft.query, text, draft.read):
            yield from _refused(draft, "insufficient")
            return
        if not draft.read:
            plain = take_markers(draft.text.strip())[0]  # there is nothing to cite
            if draft.withheld:  # for a search that found nothing
                yield Delta("text", plain)
            yield Done(draft.finish(text=plain))
            return
        began = time.perf_counter()
        cited = self._with_facts(draft) if draft.facts else self._cited(draft, text)
        if not cited.citations and draft.stated:  # a yes or a no that nothing says
            cited = self._quoted(draft, draft.stated)
        draft.verify_ms = (time.perf_counter() - began) * 1000
        if not cited.citations and request.on_no_evidence == "refuse":
            yield from _refused(draft, "unverified")
            return
        if (
            not cited.citations
            and draft.best
            and draft.withheld
            and (draft.evidence or 0) >= LIKELIER_THAN_NOT
        ):
            # The passages likely answer, and these words are not theirs: rather their best sentence.
            cited = self._quoted(draft, draft.best[0])
        if draft.withheld:
            yield Delta("text", cited.text)
        yield from cited.citations
        yield Done(draft.finish(text=cited.text, cited=cited))

    def _cited(self, draft: Draft, text: str) -> CitedAnswer:
        known = " ".join(call.output for call in draft.tool_calls if call.tool == "calculate")
        asked = draft.query if known else ""  # a sum may use the question's own numbers
        return cite_answer(
            text,
            draft.sources,
            self._embedder,
            question=draft.query,
            known_numbers=numbers_in(f"{known} {asked}"),
            entails=self._entails,
            rests_on=draft.rests_on,
        )

    def _settled(self, draft: Draft) -> str | None:
        """Return whose words stand, the model's or the reader's, or None for a refusal."""
        joined, draft.joined = draft.joined, None
        if draft.request.on_no_evidence == "answer":
            return None if _is_refusal(draft) else draft.text
        computed, asked = is_computed(draft), draft.asked or draft.query
        used = used_numbers(draft.tool_calls) if computed else frozenset()
        said, evidence = Said(draft.text, _is_refusal(draft), computed, used), draft.evidence or 0.0
        if joined and (text := said_together(asked, said, joined, draft.read)):
            draft.joined = joined
            return text
        if joined and hopeless(evidence, draft.told):  # the model was asked for what they told together
            return None
        if worked_out := _worked_out(draft, _in_one_line(draft.best[0])):
            return worked_out
        settled = settle(asked, said, draft.told, evidence, draft.read)
        return rather_whole(settled, draft.stated, draft.query)

    def _with_facts(self, draft: Draft) -> CitedAnswer:
        """Take the sentence of a model that reads badly where it holds, else the source's; work out a rate.

        What it worked out with the calculator, from numbers that the sources have, stands too.
        """
        best = _in_one_line(draft.facts[0])
        if worked_out := _worked_out(draft, best):
            return self._cited(draft, worked_out)
        said = take_markers(draft.text)[0]
        told = draft.told[0].text if draft.told and draft.told[0].margin > 0 else ""
        if is_computed(draft) or (holds(said, best, draft.query) and agrees(said, told)):
            own = self._cited(draft, draft.text)
            if own.citations and not own.groundedness.unsupported_spans:
                return own
        return self._quoted(draft, best)

    def _quoted(self, draft: Draft, sentence: str) -> CitedAnswer:
        """Answer with a sentence of the source; what was computed is no part of it."""
        draft.tool_calls = tuple(call for call in draft.tool_calls if call.tool == "search")
        return self._cited(draft, _in_one_line(sentence))


def _in_one_line(sentence: str) -> str:
    """Lines of the source are no lines of the answer."""
    return " ".join(sentence.split())


def _worked_out(draft: Draft, best: str) -> str | None:
    """Return the sentence and what follows from it, if it has a rate and the question a count for it."""
    expression = rate_times_count(draft.query, best)
    if expression is None:
        return None
    result = calculate(expression).result
    draft.tool_calls = (ToolCall("calculate", expression, result),)
    return f"{best.rstrip('. ')}; {expression.replace('*', ' * ')} = {result}."


def _is_refusal(draft: Draft) -> bool:
    return draft.marked_refusal or is_refusal(draft.text)


def _compared(request: AnswerRequest, draft: Draft, look_up: LookUp) -> CitedAnswer | None:
    """Return which of two is more, where that is asked and both are found; the draft has read both."""
    compared = compared_in(request.question, look_up)
    if compared is None:
        return None
    read = tuple({fact.passage.chunk_id: fact.passage for fact in compared.facts}.values())
    rests_on = {fact.place: fact.evidence for fact in compared.facts}
    cited = cite_sentences(f"{compared.text[:1].upper()}{compared.text[1:]}.", read, rests_on)
    if cited:
        draft.read, draft.evidence = read, min(rests_on.values())
    return cited


def _told(draft: Draft, cited: CitedAnswer) -> Iterator[Event]:
    yield Delta("text", cited.text)
    yield from cited.citations
    yield Done(draft.finish(text=cited.text, cited=cited))


def _refused(draft: Draft, reason: RefusalReason) -> Iterator[Event]:
    yield Done(draft.finish(text=SENTENCES[reason], refusal=reason))


def _search_request(request: AnswerRequest, query: str) -> SearchRequest:
    return SearchRequest(
        query=query,
        collections=request.collections,
        filters=request.filters,
        top_k=request.top_k,
        candidates=request.candidates,
        mode=request.search,
        expand=request.expand,
    )


def _query_of(request: AnswerRequest) -> str:
    """Return what is searched for."""
    if not request.rewrite_query:
        return request.question
    earlier = [message.text for message in request.messages[:-1] if message.role == "user"]
    return query_of([*earlier, request.question])
