"""`rag serve` and `rag worker`: the programs that keep running."""

import signal
import sys
import threading
from contextlib import nullcontext
from typing import Annotated

import typer

from rag_service.cli import terminal
from rag_service.cli.workplace import open_database, open_service

LOOK_EVERY_S = 0.5
GRACE_S = 10  # for answers that are being written when the service is told to end
APPLICATION = "rag_service.app:app_from_environment"


def serve(
    *,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 is open to the network.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Processes; each loads the models.")] = 1,
) -> None:
    """Start the service: answers, search and documents over HTTP."""
    import uvicorn

    from corpus.settings import Settings
    from rag_service.logs import configure_logging
    from rag_service.telemetry.opening import check_telemetry
    from rag_service.worker_process import WorkerProcess

    settings = Settings.load()
    check_telemetry(settings)
    with open_database(settings):
        pass  # what is wrong with settings or database is said here, once, and not by every process
    configure_logging(settings.log_format)
    # uvicorn ends in order and then lets the signal have its way: the worker is to end in order too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with WorkerProcess(work) if settings.worker == "process" else nullcontext():
        uvicorn.run(
            APPLICATION,
            factory=True,
            host=host,
            port=port,
            workers=workers,
            log_config=None,
            timeout_graceful_shutdown=GRACE_S,
        )


def worker() -> None:
    """Read waiting documents until it is stopped; any number of workers may run beside the service."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    work(stopped)
    raise typer.Exit(0 if stopped.is_set() else terminal.FAILED)


def work(stopped: threading.Event) -> None:
    """Be a worker until `stopped` is set, or until another process takes this one's place."""
    from corpus.settings import Settings
    from rag_service.logs import configure_logging

    settings = Settings.load()
    configure_logging(settings.log_format)
    with open_service(settings) as service:
        service.embedder.make()
        running = service.worker.make().worker
        while running.is_alive and not stopped.wait(LOOK_EVERY_S):
            pass
