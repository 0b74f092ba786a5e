"""`rag serve` and `rag worker`: the programs that keep running."""

import signal
import threading
from typing import Annotated

import typer

from rag_service.cli import terminal
from rag_service.cli.workplace import open_database, open_service

LOOK_EVERY_S = 0.5
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

    with open_database():
        pass  # what is wrong with settings or database is said here, once, and not by every process
    uvicorn.run(APPLICATION, factory=True, host=host, port=port, workers=workers, log_config=None)


def worker() -> None:
    """Read waiting documents until it is stopped; any number of workers may run beside the service."""
    from corpus.settings import Settings
    from rag_service.logs import configure_logging

    settings = Settings.load()
    configure_logging(settings.log_format)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with open_service(settings) as service:
        service.embedder.make()
        running = service.worker.make().worker
        while running.is_alive and not stopped.wait(LOOK_EVERY_S):
            pass
    raise typer.Exit(0 if stopped.is_set() else terminal.FAILED)
