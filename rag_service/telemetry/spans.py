"""What a span tells: names, numbers and durations. Never what a question, a document or an answer says."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import time_ns

from opentelemetry.trace import Span, StatusCode, Tracer, set_span_in_context
from opentelemetry.util.types import AttributeValue

from rag_service.answering.draft import Answer, Timings
from rag_service.retrieval.search import SearchResult

NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of something that is over, and its own parts; began and ended in nanoseconds since 1970."""

    name: str
    began: int
    ended: int
    parts: tuple["Stage", ...] = ()


class AnswerSpan:
    """The span of one answer; open until the answer is there, or until there will be none."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._began = time_ns()
        self._span = tracer.start_span("answer", start_time=self._began)
        self._open = True

    def tell(self, answer: Answer) -> None:
        """Note what came out and where the time went; this is the end."""
        self._span.set_attributes(_about(answer))
        record_stages(self._tracer, self._span, stages_of(answer.timings_ms, self._began))
        self._end()

    def fail(self, error: Exception) -> None:
        """Note that there is no answer; of the error only its kind, since it may quote."""
        if self._open:
            self._span.set_attribute("error.type", type(error).__name__)
            self._span.set_status(StatusCode.ERROR)
            self._end()

    def give_up(self) -> None:
        """Note that nobody waited for the answer any more, unless it is there."""
        if self._open:
            self._span.set_attribute("rag.cancelled", value=True)
            self._end()

    def _end(self) -> None:
        self._open = False
        self._span.end()


@contextmanager
def answer_span(tracer: Tracer) -> Iterator[AnswerSpan]:
    """Time the block as the answer to one question."""
    span = AnswerSpan(tracer)
    try:
        yield span
    except Exception as error:
        span.fail(error)
        raise
    finally:
        span.give_up()


def stages_of(timings: Timings, began: int) -> tuple[Stage, ...]:
    """Lay the stages of an answer out, from their durations.

    The search lies at its beginning, the others one after the other at its end. A stage that came several
    times is one, of their sum; the gap is what is not counted, such as waiting for a turn at the model.
    """
    ended = began + _ns(timings.total)
    verifying = ended - _ns(timings.verify)
    decoding = verifying - _ns(timings.decode)
    prefilling = decoding - _ns(timings.prefill)
    search = _search_stage(began, timings.embed, timings.search)
    stages = (
        search,
        Stage("prefill", prefilling, decoding),
        Stage("decode", decoding, verifying),
        Stage("verify", verifying, ended),
    )
    return tuple(stage for stage in stages if stage.ended > stage.began)


def record_search(tracer: Tracer, result: SearchResult, mode: str) -> None:
    """Note a search that has just ended."""
    timings = result.timings_ms
    began = time_ns() - _ns(timings.embed + timings.search)
    stage = _search_stage(began, timings.embed, timings.search)
    attributes: dict[str, AttributeValue] = {
        "rag.search.mode": mode,
        "rag.passages": len(result.passages),
    }
    span = tracer.start_span(stage.name, start_time=began, attributes=_known(attributes, result.generation))
    record_stages(tracer, span, stage.parts)
    span.end(stage.ended)


def record_stages(tracer: Tracer, parent: Span, stages: Sequence[Stage]) -> None:
    """Note parts of a span that are over."""
    context = set_span_in_context(parent)
    for stage in stages:
        span = tracer.start_span(stage.name, context=context, start_time=stage.began)
        record_stages(tracer, span, stage.parts)
        span.end(stage.ended)


def _search_stage(began: int, embed_ms: float, search_ms: float) -> Stage:
    embed = Stage("embed", began, began + _ns(embed_ms))
    return Stage("search", began, embed.ended + _ns(search_ms), (embed,) if embed_ms else ())


def _about(answer: Answer) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {
        "gen_ai.request.model": answer.model,
        "gen_ai.usage.input_tokens": answer.usage.prompt_tokens,
        "gen_ai.usage.output_tokens": answer.usage.completion_tokens,
        "rag.usage.cached_tokens": answer.usage.cached_tokens,
        "rag.answer.id": answer.id,
        "rag.answer.status": answer.status,
        "rag.citations": len(answer.citations),
        "rag.passages": len(answer.passages),
        "rag.tool_calls": len(answer.tool_calls),
    }
    if answer.refusal is not None:
        attributes["rag.refusal"] = answer.refusal
    return _known(attributes, answer.generation)


def _known(attributes: dict[str, AttributeValue], generation: str | None) -> dict[str, AttributeValue]:
    return attributes | ({} if generation is None else {"rag.generation": generation})


def _ns(milliseconds: float) -> int:
    return round(milliseconds * NS_PER_MS)
