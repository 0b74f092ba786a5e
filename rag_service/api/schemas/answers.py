"""Answers: the request, the whole response, and the events of a streamed one."""

import re
from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from rag_service.answering.markers import CONTROL_TOKENS
from rag_service.api.schemas.common import RequestModel, ResponseModel, SpokenText, Text
from rag_service.api.schemas.search import Collections, Expand, Filters, ScoresOut, SearchMode, TopK

MAX_QUESTION_CHARACTERS = 32_000
MAX_MESSAGES = 200
_CONTROL_TOKEN = re.compile("|".join([*map(re.escape, CONTROL_TOKENS), r"<\|[\w-]{1,40}\|>"]))


def has_words(text: str) -> bool:
    """Tell whether anything is left of a question without what looks like control tokens."""
    return bool(_CONTROL_TOKEN.sub("", text).strip())


class MessageIn(RequestModel):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"] = Field(description="Who said it.", examples=["user"])
    content: Text = Field(
        max_length=MAX_QUESTION_CHARACTERS,
        description="What was said; always plain text, whatever it contains.",
        examples=["Who keeps the generators?"],
    )


def check_one_question(question: str | None, messages: Sequence[MessageIn] | None) -> None:
    """Raise ValueError unless one of the two is there, and is or ends with a question."""
    if (question is None) == (messages is None):
        raise ValueError("send either question or messages")
    if messages is not None and messages[-1].role != "user":
        raise ValueError("messages must end with a turn of the user")
    last = question if messages is None else messages[-1].content
    if not has_words(last or ""):
        raise ValueError("the question must have words, and not control tokens alone")


class RetrievalIn(RequestModel):
    """How passages are found."""

    mode: Literal["always", "auto", "never"] = Field(
        default="always",
        description="Search first; or let the model decide; or use what the model knows alone.",
    )
    search: SearchMode = Field(default="hybrid", description="By meaning, by words, or both fused.")
    top_k: TopK = 8
    candidates: int = Field(
        default=50, ge=1, le=1000, description="How many passages each way of searching gives to the fusion."
    )
    expand: Expand = Field(default="none", description="`neighbours`: with the text before and after.")
    rewrite_query: bool = Field(
        default=True, description="Whether a follow-up question is searched for with its history."
    )


class GenerationIn(RequestModel):
    """How the answer is written."""

    max_tokens: int = Field(default=256, ge=1, le=2048, description="Longest answer, in tokens.")
    temperature: float = Field(default=0.0, ge=0, le=2, description="0: always the likeliest token.")
    seed: int | None = Field(
        default=None, ge=0, le=2**53 - 1, description="With the same seed the same answer.", examples=[7]
    )
    reasoning: bool = Field(default=False, description="Whether to write steps before the answer.")


class AnswerIn(RequestModel):
    """A question, or a conversation that ends with one."""

    question: SpokenText | None = Field(
        default=None,
        max_length=MAX_QUESTION_CHARACTERS,
        description="The question; or send `messages`.",
        examples=["Who keeps the Vostrel station's generators?"],
    )
    messages: list[MessageIn] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_MESSAGES,
        description="The conversation; its last turn is the user's question.",
        examples=[None],
    )
    collections: Collections = None
    filters: Filters = None
    retrieval: RetrievalIn = Field(default=RetrievalIn(), description="How passages are found.")
    generation: GenerationIn = Field(default=GenerationIn(), description="How the answer is written.")
    on_no_evidence: Literal["refuse", "answer"] = Field(
        default="refuse", description="What to do when the documents do not answer the question."
    )
    stream: bool = Field(default=False, description="Whether to send events while the answer is written.")

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        check_one_question(self.question, self.messages)
        return self


class FeedbackIn(RequestModel):
    """What a reader thinks of an answer."""

    rating: Literal["good", "bad"] = Field(description="Whether it helped.")
    comment: Text | None = Field(default=None, max_length=4000, description="Why.", examples=[None])
    correction: Text | None = Field(
        default=None,
        max_length=MAX_QUESTION_CHARACTERS,
        description="The answer as it should have been.",
        examples=["Ilse Brandt keeps them."],
    )


class FeedbackOut(ResponseModel):
    """Feedback that was kept."""

    id: str = Field(description="Its id.", examples=["fbk_01jd3v8k6q2m4n5p7r9s1t3v5w"])
    answer_id: str = Field(description="The answer.", examples=["ans_01jd3v8k6q2m4n5p7r9s1t3v5w"])
    rating: Literal["good", "bad"] = Field(description="Whether it helped.")


class RefusalOut(ResponseModel):
    """Why there is no answer."""

    reason: Literal["no_evidence", "insufficient", "unverified"] = Field(
        description="Nothing fits; or what fits does not suffice; or the answer did not hold against it."
    )


class VerificationOut(ResponseModel):
    """How well a source supports what was said."""

    status: Literal["exact", "supported", "unsupported"] = Field(
        description="`exact`: the words are in the source."
    )
    score: float = Field(description="0 to 1.", examples=[0.98])


class CitationOut(ResponseModel):
    """Where a part of the answer comes from: `content[source_start:source_end] == quote`, always."""

    id: int = Field(description="The number in the answer's marker, such as 1 for `[1]`.", examples=[1])
    start: int = Field(description="First character of the supported part, in `answer`.", examples=[0])
    end: int = Field(description="Character after its last.", examples=[28])
    document_id: str = Field(description="The source.", examples=["doc_01jd3v8k6q2m4n5p7r9s1t3v5w"])
    document_title: str = Field(description="Its title.", examples=["Vostrel handbook"])
    document_version: int = Field(description="Which version of it.", examples=[1])
    chunk_id: str = Field(description="The passage.", examples=["chk_17"])
    page: int | None = Field(
        description="Page on which the quote begins, in formats that have pages.", examples=[1]
    )
    source_start: int = Field(
        description="First character of the quote, in the document's `content`.", examples=[120]
    )
    source_end: int = Field(description="Character after its last.", examples=[154])
    quote: str = Field(
        description="The words of the source.", examples=["Orson Kovacs keeps the generators."]
    )
    verification: VerificationOut = Field(description="How well they support the answer.")


class AnswerPassageOut(ResponseModel):
    """A passage that was found for the answer."""

    chunk_id: str = Field(description="Id of the chunk.", examples=["chk_17"])
    document_id: str = Field(description="Its document.", examples=["doc_01jd3v8k6q2m4n5p7r9s1t3v5w"])
    in_context: bool = Field(description="Whether the model got to read it.")
    scores: ScoresOut = Field(description="How well it fits.")


class ToolCallOut(ResponseModel):
    """One use of a tool by the model."""

    tool: Literal["search", "calculate"] = Field(description="Which tool.")
    input: str = Field(description="What it was asked.", examples=["2 * 14"])
    output: str = Field(description="What it said.", examples=["28"])


class SpanOut(ResponseModel):
    """A part of the answer."""

    start: int = Field(description="First character.", examples=[0])
    end: int = Field(description="Character after its last.", examples=[28])


class GroundednessOut(ResponseModel):
    """How much of the answer the sources support."""

    score: float | None = Field(description="0 to 1; null: not measured.", examples=[0.97])
    unsupported_spans: list[SpanOut] = Field(description="The parts without support.")


class UsageOut(ResponseModel):
    """Tokens of the chat model."""

    prompt_tokens: int = Field(description="Read.", examples=[612])
    completion_tokens: int = Field(description="Written.", examples=[19])
    cached_tokens: int = Field(description="Read before and kept, out of `prompt_tokens`.", examples=[0])


class AnswerTimings(ResponseModel):
    """Where the time went, in milliseconds."""

    embed: float = Field(description="Embedding the query.", examples=[6.1])
    search: float = Field(description="Searching.", examples=[4.7])
    prefill: float = Field(description="Reading the prompt.", examples=[812.0])
    decode: float = Field(description="Writing.", examples=[304.5])
    verify: float = Field(description="Checking the citations.", examples=[3.2])
    total: float = Field(description="All of it.", examples=[1131.0])


class AnswerOut(ResponseModel):
    """An answer, or a refusal with its reason."""

    id: str = Field(description="Its id.", examples=["ans_01jd3v8k6q2m4n5p7r9s1t3v5w"])
    object: Literal["answer"] = Field(default="answer", description="Always `answer`.")
    status: Literal["answered", "refused"] = Field(description="Whether there is an answer.")
    refusal: RefusalOut | None = Field(description="Why not; null when there is one.")
    answer: str = Field(
        description="The text for the reader; for a refusal, a sentence that says so.",
        examples=["Orson Kovacs keeps them. [1]"],
    )
    reasoning: str | None = Field(
        default=None, description="The steps before it, where asked for.", examples=[None]
    )
    rewritten_query: str | None = Field(
        description="What was searched for, where it is not the question itself.",
        examples=[None],
    )
    citations: list[CitationOut] = Field(description="Each `[n]` of the answer has one.")
    passages: list[AnswerPassageOut] = Field(description="What was found.")
    tool_calls: list[ToolCallOut] = Field(description="What the model used, in order.")
    evidence: float | None = Field(
        default=None,
        description="How likely the passages answer the question, 0 to 1; null: not asked.",
        examples=[0.93],
    )
    groundedness: GroundednessOut = Field(description="How much of the answer the sources support.")
    generation: str | None = Field(
        description="Id of the index generation; null: nothing was searched.",
        examples=["gen_01jd3v8k6q2m4n5p7r9s1t3v5w"],
    )
    model: str = Field(description="The chat model.", examples=["SmolLM2-135M-Instruct"])
    usage: UsageOut = Field(description="Tokens.")
    timings_ms: AnswerTimings = Field(description="Where the time went.")
    trace_id: str | None = Field(
        description="`GET /v1/traces/{id}` tells how it came about; null: traces are off.",
        examples=["trc_01jd3v8k6q2m4n5p7r9s1t3v5w"],
    )


class RetrievalOut(ResponseModel):
    """Data of the event `retrieval`, the first of a stream."""

    passages: list[AnswerPassageOut] = Field(description="What was found.")
    generation: str | None = Field(
        description="Id of the index generation.", examples=["gen_01jd3v8k6q2m4n5p7r9s1t3v5w"]
    )


class DeltaOut(ResponseModel):
    """Data of an event `delta`: more of what the model writes, unchecked and without markers."""

    kind: Literal["text", "reasoning", "refusal"] = Field(description="What part of the answer it is.")
    text: str = Field(description="The next piece.", examples=["Orson Kovacs"])
