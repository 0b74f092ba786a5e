"""The service's own answerer as what an evaluation asks."""

import time
from collections.abc import Callable
from dataclasses import replace

from rag_service.answering.answer import Answer, Answerer, AnswerRequest
from rag_service.answering.chat_model import Cancelled
from rag_service.evaluation.answers import Citation, Mode, Reply
from rag_service.evaluation.questions import Question


def ask_answerer(
    answerer: Answerer, like: AnswerRequest, *, cancelled: Cancelled = lambda: False
) -> Callable[[Question, Mode], Reply]:
    """Return a function for `evaluate_answers`: it asks as `like` does, with each question and mode.

    It raises what `Answerer.answer` raises.
    """

    def ask(question: Question, mode: Mode) -> Reply:
        began = time.perf_counter()
        answer = answerer.answer(replace(like, messages=question.messages, mode=mode), cancelled=cancelled)
        return reply_of(answer, time.perf_counter() - began)

    return ask


def reply_of(answer: Answer, seconds: float = 0.0) -> Reply:
    """Return an answer as the measures see it: its documents go by their external ids."""
    citations = tuple(
        Citation(each.start, each.end, each.passage.external_id or each.passage.document_id, each.quote)
        for each in answer.citations
    )
    return Reply(answer.text, answer.refusal is not None, citations, answer.refusal, seconds)
