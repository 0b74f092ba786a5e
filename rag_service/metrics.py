"""What the service counts, as Prometheus reads it; one registry for each application."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


@dataclass(frozen=True, slots=True)
class Levels:
    """What is looked up when the metrics are read: waiting work, and 1 or 0 for each model that is ready."""

    queued_documents: int
    models_ready: Mapping[str, bool]


class Metrics:
    """Counters of one application; `levels` is asked at each reading."""

    def __init__(self, levels: Callable[[], Levels]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "rag_http_requests",
            "Requests by route and status.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._latency = Histogram(
            "rag_http_request_duration_seconds",
            "Time from a request to the end of its response.",
            ["route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._answers = Counter(
            "rag_answers", "Answers by status: answered or refused.", ["status"], registry=self._registry
        )
        self._answer_latency = Histogram(
            "rag_answer_duration_seconds",
            "Time to answer one question.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._running = Gauge(
            "rag_answers_running", "Answers that are being generated now.", registry=self._registry
        )
        self._registry.register(_LevelsCollector(levels))

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one finished request; `route` is the template, so that ids make no new series."""
        self._requests.labels(method, route, str(status)).inc()
        self._latency.labels(route).observe(seconds)

    def count_answer(self, status: str, seconds: float) -> None:
        """Count one finished answer."""
        self._answers.labels(status).inc()
        self._answer_latency.observe(seconds)

    def answer_started(self) -> None:
        """Count one more answer that is being generated."""
        self._running.inc()

    def answer_ended(self) -> None:
        """Count one less."""
        self._running.dec()

    def text(self) -> bytes:
        """Return all of it in Prometheus' text format."""
        return generate_latest(self._registry)


class _LevelsCollector(Collector):
    def __init__(self, levels: Callable[[], Levels]) -> None:
        self._levels = levels

    def describe(self) -> Iterable[Metric]:
        """Say nothing at registration: the database may not be there yet."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Look the levels up."""
        levels = self._levels()
        queue = GaugeMetricFamily("rag_queued_documents", "Documents that wait for ingestion or are in it.")
        queue.add_metric([], levels.queued_documents)
        models = GaugeMetricFamily("rag_model_ready", "1 when the model is loaded, else 0.", labels=["model"])
        for name, ready in levels.models_ready.items():
            models.add_metric([name], float(ready))
        return queue, models
