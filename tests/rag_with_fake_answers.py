"""`rag` with the real embedder and a stand-in for the chat model, which would take a minute to load."""

from corpus.embedding import load_embedder
from corpus.settings import Settings
from rag_service import app
from rag_service.cli import main
from tests.fakes import FakeChatModel


def models_of(settings: Settings) -> app.Models:
    """Return how they are made, in place of the service's own function."""
    return app.Models(lambda: load_embedder(settings.embedder), FakeChatModel)


if __name__ in {"__main__", "__mp_main__"}:  # the latter in processes that this program starts
    app.models_of = models_of
if __name__ == "__main__":
    main()
