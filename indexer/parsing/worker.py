"""The process that parses: ``python -m indexer.parsing.worker MEMORY_MB TIMEOUT_S``.

Started by `indexer.parsing.sandbox.ParserPool`. It reads requests from its standard input and ends
at the input's end, which is also how it notices that its parent is gone. Torch and the like are
never imported here.
"""

import os
import resource
import signal
import sys
from pathlib import Path
from typing import BinaryIO

from corpus.errors import DocumentError, ParseLimitExceeded
from indexer.parsing.frames import document_reply, error_reply, frame, read_request
from indexer.parsing.reading import parse_document

READY = b"ready"
_MIB = 1 << 20
_GRACE_S = 5.0  # the parent kills first; the alarm is for a worker whose parent died
_RETIRE_SHARE = 4  # a worker that has kept a quarter of its memory makes room for a fresh one


def main(memory_mb: int, timeout_s: float) -> None:
    """Answer requests until the input ends."""
    replies = _private_output()
    at_start = _address_space()
    _set_limits(at_start + memory_mb * _MIB)
    _send(replies, frame(READY))
    while (request := read_request(sys.stdin.buffer)) is not None:
        signal.setitimer(signal.ITIMER_REAL, timeout_s + _GRACE_S)  # its default action ends the process
        reply, retiring = _answer(*request, most_kept=at_start + memory_mb * _MIB // _RETIRE_SHARE)
        del request
        _send(replies, reply)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if retiring:
            return


def _answer(data: bytes, filename: str | None, media_type: str | None, most_kept: int) -> tuple[bytes, bool]:
    """Return the reply, and whether this process has grown too large to go on."""
    try:
        document = parse_document(data, filename=filename, media_type=media_type)
        retiring = _address_space() > most_kept
        return document_reply(document, retiring=retiring), retiring
    except DocumentError as error:
        retiring = isinstance(error, ParseLimitExceeded) or _address_space() > most_kept
        return error_reply(error, retiring=retiring), retiring
    except MemoryError:
        too_large = ParseLimitExceeded("The document's text takes more memory than RAG_PARSE_MEMORY_MB.")
        return error_reply(too_large, retiring=True), True


def _private_output() -> BinaryIO:
    """Take the output for replies alone; what a library prints goes nowhere."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
    return replies


def _send(replies: BinaryIO, reply: bytes) -> None:
    replies.write(reply)
    replies.flush()


def _set_limits(address_space: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # a parser writes no files


def _address_space() -> int:
    """Return the bytes of address space in use; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        return 0
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
