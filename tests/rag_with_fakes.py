"""`rag` with stand-ins for the two models, for tests that start it as a program of its own."""

from corpus.settings import Settings
from rag_service import app
from rag_service.cli import main
from tests.fakes import FakeEmbedder

real_models = app.models_of


def fake_models(settings: Settings) -> app.Models:
    """Return the stand-ins, in place of `models_of`."""
    return app.Models(FakeEmbedder, real_models(settings).load_chat_model)


if __name__ == "__main__":
    app.models_of = fake_models
    main()
