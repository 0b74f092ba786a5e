"""Evaluations: questions whose right answers are known, and how well the service does on them."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from rag_service.api.schemas.answers import (
    MAX_MESSAGES,
    MAX_QUESTION_CHARACTERS,
    MessageIn,
    check_one_question,
)
from rag_service.api.schemas.common import (
    CollectionName,
    ExternalId,
    RequestModel,
    ResponseModel,
    SpokenText,
    Text,
)

MOST_SEARCHES = 500
MOST_ANSWERS = 100
_MOST_DOCUMENTS = 100


def _at_most(limit: int, command: str) -> Callable[[object], object]:
    """Pydantic would say that there are too many, and not where more have a place."""

    def check(questions: object) -> object:
        if isinstance(questions, list) and len(questions) > limit:
            raise ValueError(
                f"one request takes {limit} questions, not {len(questions)}; `{command}` takes any number"
            )
        return questions

    return check


class NewSearchQuestion(RequestModel):
    """A question whose documents are known."""

    question: SpokenText = Field(
        max_length=4000, description="The question.", examples=["Who keeps the generators?"]
    )
    documents: list[ExternalId] = Field(
        min_length=1,
        max_length=_MOST_DOCUMENTS,
        description="The documents that answer it, by external id or `doc_` id; one that is not there is "
        "not found.",
        examples=[["handbook.md"]],
    )


class NewAnswerQuestion(RequestModel):
    """A question whose answer is known, as a line of `rag eval answers` has it."""

    id: Text | None = Field(
        default=None, max_length=200, description="Your id for it; null: its number.", examples=["q01"]
    )
    kind: Text = Field(
        default="question", max_length=200, description="A word for its kind.", examples=["single"]
    )
    question: SpokenText | None = Field(
        default=None,
        max_length=MAX_QUESTION_CHARACTERS,
        description="The question; or send `messages`.",
        examples=["Who keeps the generators?"],
    )
    messages: list[MessageIn] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_MESSAGES,
        description="The conversation that ends with the question.",
        examples=[None],
    )
    answerable: bool | None = Field(
        default=None, description="Whether the documents answer it; null: if it has `answers`."
    )
    answers: list[SpokenText] = Field(
        default=[],
        max_length=100,
        description="Accepted answers, any of which will do; none: it should be refused.",
        examples=[["Orson Kovacs"]],
    )
    gold_documents: list[ExternalId] = Field(
        default=[],
        max_length=_MOST_DOCUMENTS,
        description="The documents of the sentences in `gold_quotes`, by external id or `doc_` id.",
        examples=[["handbook.md"]],
    )
    gold_quotes: list[SpokenText] = Field(
        default=[],
        max_length=_MOST_DOCUMENTS,
        description="The sentences that the answer rests on, one for each of `gold_documents`.",
        examples=[["Orson Kovacs keeps the generators."]],
    )
    expression: Text | None = Field(
        default=None,
        max_length=1000,
        description="The arithmetic that leads to it; not judged.",
        examples=[None],
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        check_one_question(self.question, self.messages)
        if self.answerable not in (None, bool(self.answers)):
            raise ValueError("answerable must be true with answers, and false without")
        if len(self.gold_documents) != len(self.gold_quotes):
            raise ValueError("gold_quotes must have one sentence for each of gold_documents")
        return self


class NewRetrievalEvaluation(RequestModel):
    """Questions to search for, by meaning, by words and by both."""

    kind: Literal["retrieval"] = Field(description="Judge the documents that are found.")
    collection: CollectionName = Field(default="default")
    questions: Annotated[
        list[NewSearchQuestion], BeforeValidator(_at_most(MOST_SEARCHES, "rag eval retrieval --set FOLDER"))
    ] = Field(
        min_length=1,
        json_schema_extra={"maxItems": MOST_SEARCHES},
        description="Questions whose documents are known.",
    )


class NewAnswersEvaluation(RequestModel):
    """Questions to answer."""

    kind: Literal["answers"] = Field(description="Judge answers, refusals and citations.")
    collection: CollectionName = Field(default="default")
    max_tokens: int = Field(default=256, ge=1, le=2048, description="Longest answer, in tokens.")
    questions: Annotated[
        list[NewAnswerQuestion], BeforeValidator(_at_most(MOST_ANSWERS, "rag eval answers --set FILE"))
    ] = Field(
        min_length=1,
        json_schema_extra={"maxItems": MOST_ANSWERS},
        description="Questions whose answers are known.",
    )


def _kind_of(body: Any) -> str | None:  # noqa: ANN401 - whatever was sent
    kind = body.get("kind") if isinstance(body, dict) else getattr(body, "kind", None)
    return f"({kind})"


# Tags in parentheses: the paths of fields, as they are told in errors, leave them out as names of types.
NewEvaluation = Annotated[
    Annotated[NewRetrievalEvaluation, Tag("(retrieval)")] | Annotated[NewAnswersEvaluation, Tag("(answers)")],
    Discriminator(
        _kind_of,
        custom_error_type="unknown_kind",
        custom_error_message="must be retrieval or answers",
        custom_error_context={"field": "kind"},
    ),
]


class MeasureOut(ResponseModel):
    """A measure over all questions that count for it, with a 95% bootstrap interval."""

    name: str = Field(description="Its name; docs/evaluation.md says what it is.", examples=["recall@10"])
    search: Literal["hybrid", "dense", "lexical"] | None = Field(
        description="The way to search that it is of; null: it is of answers.", examples=["hybrid"]
    )
    value: float | None = Field(description="The share; null: no question counts.", examples=[0.93])
    low: float | None = Field(description="Lower end of the interval.", examples=[0.87])
    high: float | None = Field(description="Upper end of the interval.", examples=[0.98])
    items: int = Field(description="How many questions count.", examples=[60])


class RankedDocumentOut(ResponseModel):
    """A document that was found."""

    document_id: str = Field(description="Its id.", examples=["doc_01jd3v8k6q2m4n5p7r9s1t3v5w"])
    external_id: str | None = Field(description="Your own id for it.", examples=["handbook.md"])
    document_title: str = Field(description="Its title.", examples=["Vostrel handbook"])
    right: bool = Field(description="Whether it is one of the question's documents.")


class RankingOut(ResponseModel):
    """What one way to search found."""

    search: Literal["hybrid", "dense", "lexical"] = Field(description="By both, by meaning, by words.")
    rank: int | None = Field(
        description="Rank of the question's first document, from 1, as far as 50; null: none was found.",
        examples=[1],
    )
    right: bool = Field(description="Whether that is among the first ten.")
    found: list[RankedDocumentOut] = Field(description="The first ten documents, best first.")


class SearchedQuestionOut(ResponseModel):
    """A question, and what was found."""

    question: str = Field(description="The question.", examples=["Who keeps the generators?"])
    documents: list[str] = Field(description="As they were named.", examples=[["handbook.md"]])
    missing: list[str] = Field(description="Those that the collection does not have.", examples=[[]])
    rankings: list[RankingOut] = Field(description="One for each way to search.")


class RetrievalEvaluationOut(ResponseModel):
    """How well the documents of questions are found."""

    object: Literal["evaluation"] = Field(default="evaluation", description="Always `evaluation`.")
    kind: Literal["retrieval"] = Field(default="retrieval", description="What was judged.")
    collection: str = Field(description="Name of the collection.", examples=["default"])
    measures: list[MeasureOut] = Field(description="nDCG@10, recall@10, recall@50 and MRR@10 of each way.")
    questions: list[SearchedQuestionOut] = Field(description="One for each question, in order.")


class JudgedCitationOut(ResponseModel):
    """A citation under an answer."""

    document: str = Field(
        description="External id of its document, or else its id.", examples=["handbook.md"]
    )
    quote: str = Field(
        description="The words of the source.", examples=["Orson Kovacs keeps the generators."]
    )
    right: bool = Field(description="Whether it points at gold evidence.")


class AnsweredQuestionOut(ResponseModel):
    """A question, and what was answered."""

    id: str = Field(description="As given, or its number.", examples=["q01"])
    kind: str = Field(description="As given.", examples=["single"])
    question: str = Field(description="The question.", examples=["Who keeps the generators?"])
    answers: list[str] = Field(description="The accepted answers.", examples=[["Orson Kovacs"]])
    missing: list[str] = Field(
        description="Those of its gold documents that the collection does not have.", examples=[[]]
    )
    answer: str = Field(description="What was answered.", examples=["Orson Kovacs keeps them [1]."])
    status: Literal["answered", "refused"] = Field(description="Whether there was an answer.")
    reason: Literal["no_evidence", "insufficient", "unverified"] | None = Field(
        description="Why it was refused.", examples=[None]
    )
    right: bool = Field(
        description="Whether an accepted answer stands in it; without accepted answers, if it was refused."
    )
    citations: list[JudgedCitationOut] = Field(description="The answer's citations.")
    seconds: float = Field(description="How long it took.", examples=[1.7])


class AnswersEvaluationOut(ResponseModel):
    """How well questions are answered, refused and cited."""

    object: Literal["evaluation"] = Field(default="evaluation", description="Always `evaluation`.")
    kind: Literal["answers"] = Field(default="answers", description="What was judged.")
    collection: str = Field(description="Name of the collection.", examples=["default"])
    model: str = Field(description="The chat model.", examples=["SmolLM2-135M-Instruct"])
    measures: list[MeasureOut] = Field(description="The measures of `rag eval answers`, with retrieval.")
    questions: list[AnsweredQuestionOut] = Field(description="One for each question, in order.")
