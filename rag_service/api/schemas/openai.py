"""The shapes of OpenAI's API, as far as its clients use them here.

Requests may have fields that are not listed: front ends send many of their own, and OpenAI's newer
ones have no meaning here.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rag_service.api.schemas.answers import (
    MAX_QUESTION_CHARACTERS,
    CitationOut,
    RefusalOut,
    has_words,
)
from rag_service.api.schemas.common import ResponseModel, Text

MAX_EMBEDDING_INPUTS = 2048
FinishReason = Literal["stop", "length"]
StopText = Annotated[Text, Field(min_length=1)]
Role = Literal["system", "developer", "user", "assistant", "tool", "function"]


class TolerantModel(BaseModel):
    """Parent of OpenAI's requests: unknown fields are let pass."""

    model_config = ConfigDict(extra="ignore")


class ContentPart(TolerantModel):
    """A part of a message; only text is read."""

    type: str = Field(description="`text`; other kinds are left out.", examples=["text"])
    text: Text = Field(default="", max_length=MAX_QUESTION_CHARACTERS, description="The text.")


class ChatMessage(TolerantModel):
    """One turn of the conversation."""

    role: Role = Field(description="Who said it; turns of tools are left out.")
    content: Annotated[Text, Field(max_length=MAX_QUESTION_CHARACTERS)] | list[ContentPart] | None = Field(
        default=None, description="What was said.", examples=["Who runs the café?"]
    )

    @property
    def text(self) -> str:
        """The text of all parts."""
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content if part.type == "text")
        return self.content or ""


class StreamOptions(TolerantModel):
    """What a stream has besides the text."""

    include_usage: bool = Field(default=False, description="Whether a last chunk tells the tokens.")


class ResponseFormat(TolerantModel):
    """What the answer looks like."""

    type: Literal["text"] = Field(description="Only `text`.", examples=["text"])


class ChatIn(TolerantModel):
    """A conversation to be continued.

    Fields that are not listed are let pass and change nothing, such as `top_p`, the penalties, `logit_bias`,
    `tools` (none is ever called) and `user`.
    """

    model: Text = Field(
        max_length=300,
        description="`rag` (the default collection), `rag:<collection>`, or `closed-book` (no search).",
        examples=["rag"],
    )
    messages: list[ChatMessage] = Field(
        min_length=1,
        description="The conversation; the last turn is the user's. Of a long one the oldest turns are left "
        "out, but those of the system.",
    )
    stream: bool | None = Field(default=None, description="Whether to send chunks while it is written.")
    stream_options: StreamOptions | None = Field(default=None, description="What the chunks have.")
    max_tokens: int | None = Field(
        default=None,
        ge=1,
        description="Longest answer, in tokens; more than 2,048 count as 2,048.",
        examples=[256],
    )
    max_completion_tokens: int | None = Field(
        default=None, ge=1, description="The same; it goes first.", examples=[256]
    )
    temperature: float | None = Field(default=None, ge=0, le=2, description="Without one: 0.", examples=[0.0])
    seed: int | None = Field(
        default=None,
        ge=-(2**63),
        le=2**63 - 1,
        description="With the same seed the same answer.",
        examples=[7],
    )
    n: Literal[1] | None = Field(default=None, description="How many answers; only one.")
    stop: StopText | Annotated[list[StopText], Field(max_length=4)] | None = Field(
        default=None,
        description="The text ends before the first of these; citations behind it are left out. The answer "
        "is checked as a whole before.",
        examples=[["\n"]],
    )
    logprobs: Literal[False] | None = Field(default=None, description="They are not given out.")
    response_format: ResponseFormat | None = Field(
        default=None, description="Answers are text: JSON can not be asked for."
    )
    tool_choice: Literal["none", "auto"] | None = Field(
        default=None, description="No tool of the client is called, so none can be required."
    )
    function_call: Literal["none", "auto"] | None = Field(
        default=None, description="The same by its old name."
    )

    @property
    def stops(self) -> list[str]:
        """The texts before which the answer ends."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @model_validator(mode="after")
    def _ends_with_question(self) -> Self:
        last = self.messages[-1]
        if last.role != "user":
            raise ValueError("messages must end with a turn of the user")
        if not has_words(last.text):
            raise ValueError("the last message must have words, and not control tokens alone")
        if len(last.text) > MAX_QUESTION_CHARACTERS:
            raise ValueError(f"the last message must have at most {MAX_QUESTION_CHARACTERS} characters")
        return self


class PromptDetails(ResponseModel):
    """What the prompt's tokens were."""

    cached_tokens: int = Field(description="Read before and kept.", examples=[0])


class ChatUsage(ResponseModel):
    """Tokens of the chat model."""

    prompt_tokens: int = Field(description="Read.", examples=[612])
    completion_tokens: int = Field(description="Written.", examples=[19])
    total_tokens: int = Field(description="Both.", examples=[631])
    prompt_tokens_details: PromptDetails = Field(description="What the prompt's tokens were.")


class ChatMessageOut(ResponseModel):
    """The answer."""

    role: Literal["assistant"] = Field(default="assistant", description="Always `assistant`.")
    content: str = Field(
        description="Its text; `[n]` stands for citation n.", examples=["Orson Kovacs keeps them. [1]"]
    )
    refusal: str | None = Field(
        default=None, description="Always null: a refusal's text is the content.", examples=[None]
    )


class ChatChoice(ResponseModel):
    """The one answer."""

    index: int = Field(default=0, description="Always 0.")
    message: ChatMessageOut = Field(description="The answer.")
    finish_reason: FinishReason = Field(description="`length`: it was cut off.")
    logprobs: None = Field(default=None, description="Always null.")


class ChatOut(ResponseModel):
    """An answer in OpenAI's shape, with its citations beside it."""

    id: str = Field(description="Its id.", examples=["chatcmpl-ans_01jd3v8k6q2m4n5p7r9s1t3v5w"])
    object: Literal["chat.completion"] = Field(default="chat.completion", description="Always this.")
    created: int = Field(description="Unix seconds.", examples=[1795800740])
    model: str = Field(description="As asked for.", examples=["rag"])
    choices: list[ChatChoice] = Field(description="One answer.")
    usage: ChatUsage = Field(description="Tokens.")
    citations: list[CitationOut] = Field(description="Where the answer comes from, as in `/v1/answers`.")
    refusal: RefusalOut | None = Field(description="Why there is no answer; null when there is one.")


class ChatDelta(ResponseModel):
    """What is new in a chunk."""

    role: Literal["assistant"] | None = Field(default=None, description="In the first chunk.")
    content: str | None = Field(default=None, description="More of the text.")


class ChatChunkChoice(ResponseModel):
    """The one answer's next piece."""

    index: int = Field(default=0, description="Always 0.")
    delta: ChatDelta = Field(description="What is new.")
    finish_reason: FinishReason | None = Field(default=None, description="In the last one.")
    logprobs: None = Field(default=None, description="Always null.")


class ChatChunk(ResponseModel):
    """A piece of a streamed answer."""

    id: str = Field(description="The answer's id, the same in all chunks.")
    object: Literal["chat.completion.chunk"] = Field(
        default="chat.completion.chunk", description="Always this."
    )
    created: int = Field(description="Unix seconds, the same in all chunks.", examples=[1795800740])
    model: str = Field(description="As asked for.")
    choices: list[ChatChunkChoice] = Field(description="One; none in a chunk that tells the tokens.")
    usage: ChatUsage | None = Field(default=None, description="Tokens, where asked for, in the last chunk.")
    citations: list[CitationOut] | None = Field(default=None, description="In the last chunk.")
    refusal: RefusalOut | None = Field(default=None, description="In the last chunk of a refusal.")


class ModelOut(ResponseModel):
    """Something that can be named as `model`."""

    id: str = Field(description="Its name.", examples=["rag"])
    object: Literal["model"] = Field(default="model", description="Always `model`.")
    created: int = Field(description="Unix seconds.", examples=[1750000000])
    owned_by: str = Field(default="rag-service", description="Always `rag-service`.")


class ModelList(ResponseModel):
    """All of them."""

    object: Literal["list"] = Field(default="list", description="Always `list`.")
    data: list[ModelOut] = Field(description="The models.")


class EmbeddingsIn(TolerantModel):
    """Texts to be embedded."""

    model: Text = Field(
        max_length=300, description="The embedder by its short name.", examples=["all-MiniLM-L6-v2"]
    )
    input: Text | list[Text] | list[int] | list[list[int]] = Field(
        description="One text or many, at most 2,048; token ids can not be read here.",
        examples=[["one", "two"]],
    )
    encoding_format: Literal["float", "base64"] | None = Field(
        default=None, description="`base64`: little-endian 32-bit floats."
    )
    dimensions: int | None = Field(
        default=None, description="The embedder's own, or nothing.", examples=[384]
    )

    @property
    def texts(self) -> list[str]:
        """The texts; call it on a checked request only."""
        return [self.input] if isinstance(self.input, str) else [str(text) for text in self.input]

    @model_validator(mode="after")
    def _texts_alone(self) -> Self:
        texts = [self.input] if isinstance(self.input, str) else self.input
        if not 1 <= len(texts) <= MAX_EMBEDDING_INPUTS:
            raise ValueError(f"input must have 1 to {MAX_EMBEDDING_INPUTS:,} texts")
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("input must be text; token ids belong to a tokenizer that is not used here")
        if any(not text for text in texts):
            raise ValueError("input must not have empty texts")
        return self


class EmbeddingOut(ResponseModel):
    """One text's vector."""

    object: Literal["embedding"] = Field(default="embedding", description="Always `embedding`.")
    index: int = Field(description="Which text, from 0.", examples=[0])
    embedding: list[float] | str = Field(description="The unit vector.", examples=[[0.6, -0.8]])


class EmbeddingsUsage(ResponseModel):
    """Tokens of the embedder."""

    prompt_tokens: int = Field(description="Read.", examples=[6])
    total_tokens: int = Field(description="The same.", examples=[6])


class EmbeddingsOut(ResponseModel):
    """Vectors in the order of the texts."""

    object: Literal["list"] = Field(default="list", description="Always `list`.")
    data: list[EmbeddingOut] = Field(description="The vectors.")
    model: str = Field(description="The embedder.", examples=["all-MiniLM-L6-v2"])
    usage: EmbeddingsUsage = Field(description="Tokens.")
