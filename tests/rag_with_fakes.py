"""`rag` with stand-ins for the two models, for tests that start it as a program of its own."""

from collections.abc import Sequence

from corpus.settings import Settings
from rag_service import app
from rag_service.cli import main
from tests.fakes import FakeChatModel, FakeEmbedder


def fake_models(_settings: Settings) -> app.Models:
    """Return the stand-ins, in place of `models_of`."""
    return app.Models(FakeEmbedder, FakeChatModel)


def run(words: Sequence[str]) -> None:
    """Run `rag`, in a process that does nothing else."""
    app.models_of = fake_models
    main(words)


if __name__ in {"__main__", "__mp_main__"}:  # the latter in processes that this program starts
    app.models_of = fake_models
if __name__ == "__main__":
    main()
