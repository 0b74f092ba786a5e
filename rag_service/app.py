"""The composition root: settings in, application out."""

import importlib.metadata
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI

from corpus import embedding, migrations
from corpus.collections import DEFAULT_COLLECTION, find_or_create_collection
from corpus.database import Database
from corpus.embedding import Embedder
from corpus.errors import SettingsError
from corpus.follower import Follower
from corpus.originals import Originals
from corpus.settings import Settings
from indexer.rebuilds import note_source
from indexer.slots import open_slots
from indexer.targets import Embedders
from rag_service.api import openapi
from rag_service.api.errors import add_error_handlers
from rag_service.api.middleware import BodyLimit, RequestRecord
from rag_service.api.routes import add_routes
from rag_service.auth import RateLimit
from rag_service.embedders import EmbedderWatch
from rag_service.loading import BackgroundLoading, Part
from rag_service.logs import configure_logging
from rag_service.metrics import Metrics
from rag_service.readiness import current_levels
from rag_service.retrieval.search import Retriever
from rag_service.service import Limits, Service
from rag_service.switching import Loaders, ModelSwitch
from rag_service.telemetry.opening import open_telemetry
from rag_service.threads import Threads
from rag_service.traces import Traces

if TYPE_CHECKING:
    from rag_service.answering.answer import Answerer
    from rag_service.answering.chat_model import ChatModel
    from rag_service.answering.verification import Entails
    from rag_service.retrieval.readings import Readers
    from rag_service.retrieval.reranking import Rerank
    from rag_service.telemetry.collector import Telemetry
    from rag_service.worker import RunningWorker

_MEBIBYTE = 1024 * 1024
_JSON_BYTES = _MEBIBYTE
_DESCRIPTION = """\
Answers to questions about your documents, with citations that can be checked.

Errors are problem documents (RFC 9457); the OpenAI-compatible routes answer with OpenAI's error object.
Every response has an `X-Request-ID`: the one that was sent, or a new one."""


@dataclass(frozen=True, slots=True)
class Models:
    """How the two models are loaded; tests give small ones.

    `load_with_adapter` loads the chat model with the adapter of a folder in the place of its own; None: it
    can not be switched here. `load_other_embedder` loads that of a package or folder, which a generation
    names.
    """

    load_embedder: "Callable[[], Embedder]"
    load_chat_model: "Callable[[], ChatModel]"
    load_with_adapter: "Callable[[str], ChatModel] | None" = None
    load_other_embedder: "Callable[[str], Embedder]" = embedding.load_embedder


def create_app(settings: Settings, models: Models | None = None) -> FastAPI:
    """Make the application.

    The models are loaded by a background thread once it has started; until then requests that need
    them get 503.

    Raises:
        NotReady: the database lacks migrations (SQLite's are applied here).
        SettingsError: what the settings ask for is not installed, or the data folder is another database's.
    """
    service = make_service(settings, models or models_of(settings))
    app = FastAPI(
        title="RAG service",
        version=importlib.metadata.version("rag-service"),
        lifespan=_lifespan,
        docs_url=None,  # `web.page` has it, without files from elsewhere
        redoc_url=None,
        separate_input_output_schemas=False,
    )
    app.state.service = service
    app.openapi = partial(  # type: ignore[method-assign] # FastAPI's own way
        openapi.describe, app, _DESCRIPTION, keys_required=settings.require_keys
    )
    add_error_handlers(app)
    add_routes(app)
    app.add_middleware(
        BodyLimit, json_bytes=service.limits.json_bytes, upload_bytes=service.limits.upload_bytes
    )
    app.add_middleware(RequestRecord, metrics=service.metrics)
    if service.telemetry is not None:
        from rag_service.api.request_spans import RequestSpans  # noqa: PLC0415 - only with OpenTelemetry

        app.add_middleware(RequestSpans, tracer=service.telemetry.tracer)
    return app


def make_service(settings: Settings, models: Models) -> Service:
    """Make the parts; the slow ones only when the application has started.

    Raises:
        NotReady: the database lacks migrations.
        SettingsError: what the settings ask for is not installed, or the data folder is another database's.
    """
    telemetry = open_telemetry(settings)
    database = migrations.open_database(settings.effective_database_url, settings.data_dir)
    originals = Originals(settings.originals_dir)
    follower = Follower(database, settings.generations_dir)
    embedder = Part("embedder", models.load_embedder)
    embedders = Part("embedders", lambda: Embedders([embedder.get()], load=models.load_other_embedder))
    default = Part("default collection", lambda: _prepare_collections(settings, database, embedder.get()))
    retriever = Part(
        "retriever", lambda: _make_retriever(settings, database, follower, embedder.get(), embedders.make())
    )
    worker = Part("worker", lambda: _start_worker(settings, database, originals, embedders.make(), telemetry))
    switch = ModelSwitch(
        database,
        Loaders(models.load_chat_model, models.load_with_adapter),
        lambda model: _make_answerer(settings, retriever.get(), embedder.get(), model),
    )
    service = Service(
        database=database,
        originals=originals,
        generations_dir=settings.generations_dir,
        follower=follower,
        embedder=embedder,
        embedder_source=settings.embedder,
        embedders=embedders,
        embedder_watch=EmbedderWatch(database, embedders),
        retriever=retriever,
        worker=worker,
        worker_place=settings.worker,
        slots=open_slots(database, settings.data_dir / "workers"),
        chat_model=switch.chat_model,
        answerer=switch.answerer,
        switch=switch,
        loading=BackgroundLoading(
            [
                *(embedder, default, embedders, retriever),
                *([worker] if settings.worker == "thread" else []),
                *(switch.chat_model, switch.answerer),
            ]
        ),
        traces=Traces(database, keep_days=settings.trace_days),
        metrics=Metrics(lambda: current_levels(service)),
        telemetry=telemetry,
        threads=Threads(),
        limits=Limits(
            upload_bytes=settings.max_upload_mb * _MEBIBYTE,
            json_bytes=_JSON_BYTES,
            queue_size=settings.queue_size,
        ),
        require_keys=settings.require_keys,
        rate_limit=RateLimit(settings.rate_limit) if settings.rate_limit else None,
    )
    return service


def models_of(settings: Settings) -> Models:
    """Return how the models of the settings are loaded."""
    return Models(
        lambda: embedding.load_embedder(settings.embedder),
        lambda: _load_chat_model(settings),
        None if settings.chat_base_url else lambda adapter: _load_local_model(settings, adapter),
    )


def app_from_environment() -> FastAPI:
    """Make the application of the environment's settings, for `uvicorn --factory`."""
    settings = Settings.load()
    configure_logging(settings.log_format)
    return create_app(settings)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    service.threads.limit_routes()
    service.loading.start()
    service.embedder_watch.start()
    try:
        yield
    finally:
        service.embedder_watch.stop()
        service.loading.stop()
        if service.worker.state == "ready":
            service.worker.get().stop()
        service.database.close()
        if service.telemetry is not None:
            service.telemetry.close()


# The parts below are made by a thread after the start: they import torch or DBOS, which takes seconds.


def _load_chat_model(settings: Settings) -> "ChatModel":
    if settings.chat_base_url:
        from rag_service.answering.remote_model import connect  # noqa: PLC0415 - see above

        return connect(
            base_url=settings.chat_base_url,
            api_key=settings.chat_api_key,
            model=settings.chat_model,
            context_length=settings.chat_context_length,
            silence_s=settings.chat_timeout_s,
        )
    from rag_service.answering.model_files import adapter_folder  # noqa: PLC0415 - see above

    return _load_local_model(settings, adapter_folder(settings.chat_model, settings.adapter))


def _load_local_model(settings: Settings, adapter: str) -> "ChatModel":
    from rag_service.answering.local_model import load_chat_model  # noqa: PLC0415 - see above

    return load_chat_model(settings.chat_model, models_dir=settings.models_dir, adapter=adapter)


def _prepare_collections(settings: Settings, database: Database, embedder: Embedder) -> str:
    with database.write() as session:
        note_source(session, embedder.id, settings.embedder)
        return find_or_create_collection(session, name=DEFAULT_COLLECTION, embedder=embedder).id


def _make_retriever(
    settings: Settings, database: Database, follower: Follower, embedder: Embedder, embedders: Embedders
) -> Retriever:
    rerank = configured_reranker(settings)
    retriever = Retriever(database, follower, embedder, embedders, rerank=rerank)
    embedders.prepare(database)
    follower.load_all()  # now, not in the first search
    return retriever


def configured_reranker(settings: Settings) -> "Rerank | None":
    """Return the reranker of the settings, if they name one.

    Raises:
        SettingsError: it is to be the reader, and there is none.
        ModelError: the folder holds no such model.
    """
    if not settings.reranker:
        return None
    from rag_service.retrieval.readers import quick_reader  # noqa: PLC0415 - see above
    from rag_service.retrieval.readings import as_reranker  # noqa: PLC0415 - see above
    from rag_service.retrieval.reranking import load_reranker  # noqa: PLC0415 - see above

    if settings.reranker != "reader":
        return load_reranker(Path(settings.reranker))
    if read := quick_reader(settings.reader):
        return as_reranker(read)
    raise SettingsError("RAG_RERANKER=reader needs the reader that RAG_READER=none leaves out.")


def _start_worker(
    settings: Settings,
    database: Database,
    originals: Originals,
    embedders: Embedders,
    telemetry: "Telemetry | None",
) -> "RunningWorker":
    from rag_service.worker import start_worker  # noqa: PLC0415 - see above

    return start_worker(settings, database, originals, embedders, telemetry)


def _make_answerer(
    settings: Settings, retriever: Retriever, embedder: Embedder, chat_model: "ChatModel"
) -> "Answerer":
    from rag_service.answering.answer import Answerer  # noqa: PLC0415 - see above

    entails = _load_verifier(settings.verifier) if settings.verifier else None
    return Answerer(
        retriever,
        embedder,
        chat_model,
        identity=settings.identity,
        entails=entails,
        readers=_load_readers(settings.reader),
    )


@cache
def _load_readers(folder: str) -> "Readers | None":
    """The same for every chat model that answers in this process."""
    from rag_service.retrieval.readers import configured_readers  # noqa: PLC0415 - see above

    return configured_readers(folder)


@cache
def _load_verifier(folder: str) -> "Entails":
    """The same for every chat model that answers in this process."""
    from rag_service.answering.entailment import load_entailment_model  # noqa: PLC0415 - see above

    return load_entailment_model(Path(folder))
