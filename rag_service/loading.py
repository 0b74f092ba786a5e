"""Parts that take seconds to make, such as models: made once, in the background, in order."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, Literal, Protocol, TypeVar

from corpus.errors import CorpusError, NotReady

Made = TypeVar("Made")
State = Literal["loading", "ready", "failed"]
_STOP_PATIENCE_S = 5.0

_log = logging.getLogger(__name__)


class Part(Generic[Made]):
    """Something that is not there at once; `get` tells why while it is not."""

    def __init__(self, name: str, make: Callable[[], Made]) -> None:
        self.name = name
        self._make = make
        self._made: Made | None = None
        self._error: str | None = None
        self._settled = threading.Event()

    @property
    def state(self) -> State:
        """How far it is."""
        if not self._settled.is_set():
            return "loading"
        return "ready" if self._error is None else "failed"

    @property
    def problem(self) -> str | None:
        """Why it can not be used now; None: it can."""
        if not self._settled.is_set():
            return f"{self.name} is still loading; try again in some seconds"
        return self._error

    def load(self) -> None:
        """Make it; a failure is kept and told by `get`."""
        began = time.perf_counter()
        try:
            self._made = self._make()
            _log.info("%s is ready after %.1f s", self.name, time.perf_counter() - began)
        except CorpusError as error:
            self._error = f"{self.name} failed to load: {error}"
            _log.error("%s", self._error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the service goes on and tells it
            self._error = f"{self.name} failed to load ({type(error).__name__}); the log has the details"
            _log.exception("%s failed to load", self.name)
        self._settled.set()

    def make(self) -> Made:
        """Make it here and now, unless it is there; errors pass, for programs that do one thing and end."""
        if self._made is None:
            self._made = self._make()
            self._settled.set()
        return self._made

    def replace(self, made: Made) -> None:
        """Put another one in its place; who has the former keeps it."""
        self._made, self._error = made, None
        self._settled.set()

    def get(self) -> Made:
        """Return it.

        Raises:
            NotReady: it is still being made, or could not be.
        """
        problem = self.problem
        if problem is not None or self._made is None:
            raise NotReady(f"{problem}.")
        return self._made

    def wait(self, timeout_s: float) -> Made:
        """Return it as soon as it is there.

        Raises:
            NotReady: it was not there in time, or could not be made.
        """
        self._settled.wait(timeout_s)
        return self.get()


class Loadable(Protocol):
    """A `Part` of whatever type."""

    def load(self) -> None:
        """Make it."""


class BackgroundLoading:
    """One thread that makes parts one after the other: later ones may use earlier ones."""

    def __init__(self, parts: Sequence[Loadable]) -> None:
        self._parts = parts
        self._stopped = threading.Event()
        # A daemon: importing torch can not be broken off, and must not keep the process alive.
        self._thread = threading.Thread(target=self._load_all, name="loading", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Begin no further part, and wait a little for the present one."""
        self._stopped.set()
        self._thread.join(_STOP_PATIENCE_S)

    def _load_all(self) -> None:
        for part in self._parts:
            if self._stopped.is_set():
                return
            part.load()
