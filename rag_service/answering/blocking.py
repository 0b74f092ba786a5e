"""An asynchronous stream, read by a thread that must be able to give up at any moment."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from typing import TypeVar

from rag_service.answering.chat_model import Cancelled, GenerationCancelled

Item = TypeVar("Item")
_LOOK_EVERY_S = 0.05  # how soon a reader that is gone is noticed while nothing comes


def read_here(source: AsyncGenerator[Item, None], cancelled: Cancelled) -> Generator[Item, None, None]:
    """Yield what `source` yields, on an event loop of this thread alone; close both at the end.

    A thread that waits inside a blocking read of a socket can not be woken; a task can be cancelled,
    whether it is connecting, waiting for the first byte or in the middle of the stream.

    Raises:
        GenerationCancelled: `cancelled` became true.
    """
    with asyncio.Runner() as runner:
        try:
            while True:
                try:
                    item = runner.run(_next(source, cancelled))
                except StopAsyncIteration:
                    return
                yield item
        finally:
            runner.run(source.aclose())


async def _next(source: AsyncGenerator[Item, None], cancelled: Cancelled) -> Item:
    task = asyncio.ensure_future(anext(source))
    try:
        while not task.done():
            if cancelled():
                raise GenerationCancelled("Nobody waits for this answer any more.")
            await asyncio.wait({task}, timeout=_LOOK_EVERY_S)
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
