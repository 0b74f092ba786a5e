"""Loads in the background what generations that are being built will need when they serve."""

import logging
import threading

from sqlalchemy.exc import SQLAlchemyError

from corpus.database import Database
from indexer.targets import Embedders
from rag_service.loading import Part

_LOOK_S = 2.0
_STOP_PATIENCE_S = 5.0
_log = logging.getLogger(__name__)


class EmbedderWatch:
    """A thread that looks now and then whether a generation has an embedder that is not here."""

    def __init__(self, database: Database, embedders: Part[Embedders]) -> None:
        self._database = database
        self._embedders = embedders
        self._stopped = threading.Event()
        # A daemon: loading a model can not be broken off.
        self._thread = threading.Thread(target=self._watch, name="embedders", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, unless a model is being loaded at this moment."""
        self._stopped.set()
        self._thread.join(_STOP_PATIENCE_S)

    def _watch(self) -> None:
        while not self._stopped.wait(_LOOK_S):
            if self._embedders.state != "ready":
                continue
            try:
                self._embedders.get().prepare(self._database)
            except SQLAlchemyError:
                _log.warning("the generations can not be read", exc_info=True)
