"""Keeps the chat model of this process the one that is active in the database, without a restart.

A new model is loaded beside the present one, which answers until then; answers that have begun end with
the model that they began with. The model of the settings answers where none is active.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from corpus.database import Database
from corpus.errors import Conflict, CorpusError, ModelError, NotReady
from rag_service import answer_models
from rag_service.loading import Part

if TYPE_CHECKING:
    from corpus.models import AnswerModel
    from rag_service.answering.answer import Answerer
    from rag_service.answering.chat_model import ChatModel

_HOW_TO_FORCE = "Send `force` if it is to answer anyway."
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loaders:
    """How chat models are loaded: that of the settings, and its base with an adapter's folder.

    Without the second the chat model can not be switched here.
    """

    own: "Callable[[], ChatModel]"
    with_adapter: "Callable[[str], ChatModel] | None"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A model by its row; without an id that of the settings."""

    id: str | None
    name: str = ""
    path: str = ""


class ModelSwitch:
    """Loads and exchanges the chat model; may be asked by several threads at once."""

    def __init__(
        self, database: Database, loaders: Loaders, make_answerer: "Callable[[ChatModel], Answerer]"
    ) -> None:
        self.chat_model: Part[ChatModel] = Part("chat model", self._load_first)
        self.answerer: Part[Answerer] = Part("answerer", lambda: make_answerer(self.chat_model.get()))
        self._database = database
        self._loaders = loaders
        self._make_answerer = make_answerer
        self._lock = threading.Lock()
        self._tried: _Wanted | None = None  # the last one that was loaded, or could not be

    def follow(self) -> None:
        """Called before answers: if another model is active by now, load it in the background."""
        if self.answerer.state == "loading" or self._lock.locked() or self._wanted() == self._tried:
            return
        threading.Thread(target=self._catch_up, name="model switch", daemon=True).start()

    def activate(self, name_or_id: str, *, force: bool = False) -> None:
        """Load a model, make it the active one, and let it answer; nothing changes if it can not be loaded.

        Raises:
            AnswerModelNotFound: none has this name or id.
            WorseThanActive: on the gate, and not forced.
            Conflict: the chat model runs on another server.
            ModelError: it can not be loaded.
            NotReady: the first model is still being loaded.
        """
        self._refuse_while_loading()
        with self._lock:
            with self._database.read() as session:
                model = answer_models.find_model(session, name_or_id)
                if not force:
                    answer_models.check_gate(session, model.evaluation, how_to_force=_HOW_TO_FORCE)
                wanted = _wanted(model)
            loaded = self._load(wanted)
            with self._database.write() as session:
                answer_models.activate(session, answer_models.find_model(session, name_or_id))
            self._install(loaded, wanted)

    def rollback(self) -> None:
        """Let the former model answer again, or that of the settings, if it can be loaded.

        Raises:
            Conflict, ModelError, NotReady: as `activate`.
        """
        self._refuse_while_loading()
        with self._lock:
            with self._database.read() as session:
                wanted = _wanted(answer_models.former_model(session))
            loaded = self._load(wanted)
            with self._database.write() as session:
                answer_models.rollback(session)
            self._install(loaded, wanted)

    def _refuse_while_loading(self) -> None:
        if self.answerer.state == "loading":
            raise NotReady(f"{self.answerer.problem}.")

    def _catch_up(self) -> None:
        """Load the active model unless another thread has done so; a failure leaves the present one."""
        with self._lock:
            wanted = self._wanted()
            if wanted == self._tried:
                return
            self._tried = wanted
            try:
                self._install(self._load(wanted), wanted)
            except CorpusError as error:
                _log.error("the active model is not used: %s", error)
            except Exception:  # noqa: BLE001 - whatever it is, the present model goes on
                _log.exception("the active model is not used: it failed to load")

    def _load_first(self) -> "ChatModel":
        with self._lock:
            self._tried = wanted = self._wanted()
            return self._load(wanted)

    def _load(self, wanted: _Wanted) -> "ChatModel":
        if wanted.id is None:
            return self._loaders.own()
        if self._loaders.with_adapter is None:
            raise Conflict(
                "The chat model runs on another server; switch it there, or unset RAG_CHAT_BASE_URL."
            )
        try:
            return self._loaders.with_adapter(wanted.path)
        except ModelError as error:
            raise type(error)(f"{wanted.name}: {error} `rag models rollback` leaves it.") from error

    def _install(self, model: "ChatModel", wanted: _Wanted) -> None:
        answerer = self._make_answerer(model)
        self._tried = wanted
        self.chat_model.replace(model)
        self.answerer.replace(answerer)
        _log.info("%s answers from now on", model.name)

    def _wanted(self) -> _Wanted:
        if self._loaders.with_adapter is None:
            return _wanted(None)
        with self._database.read() as session:
            return _wanted(answer_models.active_model(session))


def _wanted(model: "AnswerModel | None") -> _Wanted:
    return _Wanted(model.id, model.name, model.path) if model else _Wanted(None)
