"""The parts that one application is made of; `rag_service.app` makes them, routes use them."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from corpus.database import Database
from corpus.embedding import Embedder
from corpus.originals import Originals
from rag_service.auth import RateLimit
from rag_service.loading import BackgroundLoading, Part
from rag_service.metrics import Metrics
from rag_service.threads import Threads
from rag_service.traces import Traces

if TYPE_CHECKING:  # importing these takes seconds, or brings in FAISS
    from corpus.follower import Follower
    from indexer.slots import Slots
    from indexer.targets import Embedders
    from rag_service.answering.answer import Answerer
    from rag_service.answering.chat_model import ChatModel
    from rag_service.embedders import EmbedderWatch
    from rag_service.retrieval.search import Retriever
    from rag_service.switching import ModelSwitch
    from rag_service.telemetry.collector import Telemetry
    from rag_service.worker import RunningWorker


WorkerPlace = Literal["process", "thread", "none"]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the service takes in."""

    upload_bytes: int
    json_bytes: int
    queue_size: int


@dataclass(frozen=True, slots=True)
class Service:
    """One application's parts; those in a `Part` are made in the background after the start."""

    database: Database
    originals: Originals
    generations_dir: Path
    follower: "Follower"
    embedder: Part[Embedder]
    embedder_source: str
    embedders: "Part[Embedders]"
    embedder_watch: "EmbedderWatch"
    retriever: "Part[Retriever]"
    worker: "Part[RunningWorker]"
    worker_place: "WorkerPlace"
    slots: "Slots"
    chat_model: "Part[ChatModel]"
    answerer: "Part[Answerer]"
    switch: "ModelSwitch"
    traces: Traces
    loading: BackgroundLoading
    metrics: Metrics
    telemetry: "Telemetry | None"
    threads: Threads
    limits: Limits
    require_keys: bool
    rate_limit: RateLimit | None
