"""`rag` with stand-ins for the two models, for tests that start it as a program of its own."""

from rag_service import app
from rag_service.cli import main
from tests.fakes import FakeEmbedder

if __name__ == "__main__":
    real = app.models_of
    app.models_of = lambda settings: app.Models(FakeEmbedder, real(settings).load_chat_model)
    main()
