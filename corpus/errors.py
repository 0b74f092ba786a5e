"""Every error that the project raises on purpose.

An error's message is one or two sentences: what is wrong and what to do next. Errors know nothing
of HTTP; ``rag_service/api/errors.py`` has the one table from error to status.

    CorpusError
    ├── SettingsError               a setting is unknown or does not fit
    ├── InvalidRequest              what was asked does not make sense
    │   ├── InvalidCursor           a paging cursor that we did not give out
    │   ├── InvalidFilter           a metadata filter outside the grammar
    │   ├── InvalidRecord           a conversation record outside the format
    │   └── QuestionTooLong         the question does not fit the model's context
    ├── NotFound
    │   ├── AnswerModelNotFound
    │   ├── AnswerNotFound
    │   ├── CollectionNotFound
    │   ├── DocumentNotFound
    │   ├── GenerationNotFound
    │   ├── JobNotFound
    │   ├── KeyNotFound
    │   └── TraceNotFound
    ├── Conflict                    the request is fine, the present state forbids it
    │   ├── CollectionExists
    │   ├── DuplicateDocument
    │   ├── EmbedderMismatch        vectors of another embedder
    │   ├── FindsTooLittle          a new index that fails its evaluation
    │   └── WorseThanActive         a chat model that fails the gate
    ├── TooLarge                    an upload above the limit
    ├── QueueFull                   too many documents wait; come back later
    ├── NotReady                    models, migrations or indexes are still missing
    ├── DocumentError               this document can not be taken in, ever; the others can
    │   ├── EmptyDocument           no bytes, or nothing but white space
    │   ├── NoTextFound             pages without a text layer
    │   ├── EncryptedDocument       a password is needed
    │   ├── DamagedDocument         the bytes do not follow their format
    │   ├── UnsafeDocument          made to exhaust or deceive its reader: bombs, entities
    │   ├── UnsupportedMediaType    a format that we do not read
    │   └── ParseLimitExceeded      too much time or memory
    ├── IndexDamaged                a generation's files do not match its manifest
    └── ModelError
        ├── ModelNotFound           no such package, file or folder
        ├── ModelHashMismatch       weights other than the published ones
        └── PromptTooLong           the prompt does not fit the model's context
"""


class CorpusError(Exception):
    """Root of the tree."""


class SettingsError(CorpusError):
    """A setting is unknown or does not fit."""


class InvalidRequest(CorpusError):
    """What was asked does not make sense; the message names the field."""


class InvalidCursor(InvalidRequest):
    """A paging cursor that we did not give out."""


class InvalidFilter(InvalidRequest):
    """A metadata filter outside the grammar."""


class InvalidRecord(InvalidRequest):
    """A conversation record outside the format; the message names the place."""


class QuestionTooLong(InvalidRequest):
    """The question does not fit the model's context."""


class NotFound(CorpusError):
    """Nothing has this name or id."""


class AnswerModelNotFound(NotFound):
    """No registered chat model has this name or id."""


class AnswerNotFound(NotFound):
    """No stored answer has this id: none was given, or its trace is off or over its retention time."""


class CollectionNotFound(NotFound):
    """No collection has this name or id."""


class DocumentNotFound(NotFound):
    """No document has this id, or it was deleted."""


class GenerationNotFound(NotFound):
    """No index generation has this id."""


class JobNotFound(NotFound):
    """No job has this id."""


class KeyNotFound(NotFound):
    """No API key has this id."""


class TraceNotFound(NotFound):
    """No trace has this id, or its retention time is over."""


class Conflict(CorpusError):
    """The request is well-formed, but the present state forbids it."""


class CollectionExists(Conflict):
    """A collection of this name exists."""


class DuplicateDocument(Conflict):
    """The same bytes, or the same external id, are already in the collection."""


class EmbedderMismatch(Conflict):
    """The collection's vectors were made by another embedder; run `rag reindex`."""


class FindsTooLittle(Conflict):
    """A new generation finds less of an evaluation's documents than was demanded; it does not serve."""


class WorseThanActive(Conflict):
    """The chat model is worse than the active one on the gate."""


class TooLarge(CorpusError):
    """An upload above the limit `RAG_MAX_UPLOAD_MB`."""


class QueueFull(CorpusError):
    """`RAG_QUEUE_SIZE` documents wait already; try again later."""


class NotReady(CorpusError):
    """Something that the request needs is still missing; the message says what."""


class DocumentError(CorpusError):
    """A permanent fault of one document; taking it in again will not help."""


class EmptyDocument(DocumentError):
    """No bytes, or nothing but white space."""


class NoTextFound(DocumentError):
    """Pages without a text layer, such as scans."""


class EncryptedDocument(DocumentError):
    """A password is needed to read it."""


class DamagedDocument(DocumentError):
    """The bytes do not follow their format."""


class UnsafeDocument(DocumentError):
    """It expands beyond all measure, nests without end or declares XML entities; nothing was read."""


class UnsupportedMediaType(DocumentError):
    """A format that we do not read."""


class ParseLimitExceeded(DocumentError):
    """Reading it took more time or memory than `RAG_PARSE_TIMEOUT_S` or `RAG_PARSE_MEMORY_MB`."""


class IndexDamaged(CorpusError):
    """A generation's files do not match its manifest; `rag check --repair` rebuilds it."""


class ModelError(CorpusError):
    """A model can not be used."""


class ModelNotFound(ModelError):
    """No installed package, file or folder has this name."""


class ModelHashMismatch(ModelError):
    """The weights are not the published ones; install the package again."""


class PromptTooLong(ModelError):
    """The prompt does not fit the model's context."""
