"""Chromium without a window, steered over a pipe by its DevTools protocol: for the pages' scripts."""

import fcntl
import json
import os
import select
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

PATIENCE_S = 60.0
_OPTIONS = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",  # tests often run as root, where there is none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # as on a machine without a network
)


def chromium() -> str | None:
    """Return the program, if it is installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class BrowserError(Exception):
    """An expression failed, or could not be tried."""


class Browser:
    """One page in a browser of its own. `problems` are what its console and its policy complain of."""

    def __init__(self, program: str, folder: Path) -> None:
        self.problems: list[str] = []
        self._buffer = b""
        self._count = 0
        self._session: str | None = None
        commands, self._write = (_above_standard(each) for each in os.pipe())
        self._read, answers = (_above_standard(each) for each in os.pipe())
        quiet = (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)
        actions = [quiet, (os.POSIX_SPAWN_DUP2, commands, 3), (os.POSIX_SPAWN_DUP2, answers, 4)]
        words = [program, *_OPTIONS, f"--user-data-dir={folder}"]
        self._process = os.posix_spawn(program, words, os.environ, file_actions=actions)
        os.close(commands)
        os.close(answers)
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Runtime", "Log", "Page"):
            self._call(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Go to a page and wait until it and its scripts are there."""
        self._call("Page.navigate", url=url)
        self.wait_for(f"location.href.startsWith({json.dumps(url)}) && document.readyState === 'complete'")

    def run(self, expression: str) -> Any:  # noqa: ANN401 - JSON
        """Return what an expression of JavaScript gives, a promise's result at its end."""
        found = self._call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise BrowserError(found["exceptionDetails"])
        return found["result"].get("value")

    def wait_for(self, expression: str) -> Any:  # noqa: ANN401 - JSON
        """Return the first truth that an expression gives; on a page that is only coming it may fail."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            with suppress(BrowserError):
                if found := self.run(expression):
                    return found
            time.sleep(0.05)
        raise TimeoutError(f"{expression}: {self.problems}, {self.run('document.body.innerText')}")

    def close(self) -> None:
        """End the browser."""
        self._session = None
        self._call("Browser.close")
        os.waitpid(self._process, 0)
        os.close(self._read)
        os.close(self._write)

    def _call(self, method: str, **parameters: object) -> Any:  # noqa: ANN401 - JSON
        self._count += 1
        message: dict[str, object] = {"id": self._count, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._count:
            self._note(answer)
        if "error" in answer:
            raise BrowserError(answer["error"])
        return answer["result"]

    def _next(self) -> Any:  # noqa: ANN401 - JSON
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], PATIENCE_S)
            part = os.read(self._read, 1 << 16) if ready else b""
            if not part:
                raise TimeoutError("The browser is silent.")
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def _note(self, event: Any) -> None:  # noqa: ANN401 - JSON
        if event.get("method") == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(event["params"]["exceptionDetails"]))
        elif event.get("method") == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
            self.problems.append(event["params"]["entry"]["text"])
        elif event.get("method") == "Page.javascriptDialogOpening":
            self.problems.append(f"a dialog: {event['params']['message']}")


def _above_standard(descriptor: int) -> int:
    """Return a copy that the browser's own, 3 and 4, can not collide with."""
    copy = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return copy
