"""The worker beside the service: kept alive, ended with its parent."""

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from corpus.database import Database
from corpus.settings import Settings
from indexer.slots import open_slots
from rag_service import worker_process
from rag_service.app import Models, create_app
from rag_service.readiness import Check, check_readiness
from rag_service.worker_process import WorkerProcess
from tests.fakes import FakeChatModel, FakeEmbedder

_FOLDER = "TEST_WORKER_PROCESS_FOLDER"
PATIENCE_S = 120.0  # importing takes long on a busy machine


def note_and_wait(stopped: threading.Event) -> None:
    """Leave a file with this process's number, and a second one at an end in order."""
    folder = Path(os.environ[_FOLDER])
    (folder / f"{os.getpid()}.began").touch()
    stopped.wait()
    (folder / f"{os.getpid()}.ended").touch()


def keep_one_alive() -> None:
    """Be a parent that is killed."""
    WorkerProcess(note_and_wait).start()
    time.sleep(PATIENCE_S)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where workers leave their files."""
    monkeypatch.setenv(_FOLDER, str(tmp_path))
    monkeypatch.setattr(worker_process, "_FIRST_REST_S", 0.05)
    return tmp_path


def wait_for(folder: Path, kind: str, count: int) -> list[int]:
    """Return the numbers of the processes that began or ended, when there are so many."""
    deadline = time.monotonic() + PATIENCE_S
    while len(found := [int(file.stem) for file in folder.glob(f"*.{kind}")]) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def test_a_worker_that_dies_is_started_again_and_ends_in_order(folder: Path) -> None:
    """However often it is killed; told to stop, it may finish its step."""
    with WorkerProcess(note_and_wait) as worker:
        for count in (1, 2):
            wait_for(folder, "began", count)
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGKILL)
        wait_for(folder, "began", 3)
    assert len(wait_for(folder, "ended", 1)) == 1


def test_a_worker_ends_when_its_parent_is_killed(folder: Path) -> None:
    """Nobody is left who would work for a service that is gone."""
    parent = multiprocessing.get_context("spawn").Process(target=keep_one_alive)
    parent.start()
    began = wait_for(folder, "began", 1)
    parent.kill()
    parent.join()
    assert wait_for(folder, "ended", 1) == began


def test_readiness_tells_that_no_worker_runs(database: Database, tmp_path: Path) -> None:
    """As long as none lives, here or on another machine."""
    url = database.url.render_as_string(hide_password=False)
    app = create_app(Settings(data_dir=tmp_path, database_url=url), Models(FakeEmbedder, FakeChatModel))

    def problem() -> str | None:
        checks: dict[str, Check] = {check.name: check for check in check_readiness(app.state.service)}
        return checks["worker"].problem

    assert "no worker runs" in (problem() or "")
    slot = open_slots(database, tmp_path / "workers").claim(3)
    assert slot is not None
    assert problem() is None
    slot.release()
    assert problem() is not None
    app.state.service.database.close()


def test_a_service_without_a_worker_of_its_own_does_not_ask_for_one(tmp_path: Path) -> None:
    """Its owner runs `rag worker` where and when they like."""
    app = create_app(Settings(data_dir=tmp_path, worker="none"), Models(FakeEmbedder, FakeChatModel))
    assert "worker" not in {check.name for check in check_readiness(app.state.service)}
    app.state.service.database.close()
