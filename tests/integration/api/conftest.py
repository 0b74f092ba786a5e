"""The whole service over HTTP: real database, indexes and worker; the two models are small stand-ins."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from corpus.settings import Settings
from tests.integration.api.clients import running_service
from tests.integration.conftest import administer, at

# The others are about shapes, which no database changes.
ON_BOTH_DATABASES = (
    "test_administration",
    "test_answers",
    "test_collections",
    "test_documents",
    "test_evaluations",
    "test_jobs",
    "test_search",
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Choose the databases that a file's tests run on."""
    if "client" in metafunc.fixturenames:
        both = metafunc.module.__name__.endswith(ON_BOTH_DATABASES)
        databases = ["sqlite", "postgresql"] if both else ["sqlite"]
        metafunc.parametrize("client", databases, indirect=True, scope="module")


@pytest.fixture(scope="module")
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service that all tests of a file share; each test makes its own collections."""
    data_dir = tmp_path_factory.mktemp("data")
    url = ""
    if request.param == "postgresql":
        server = request.getfixturevalue("postgresql_server")
        name = f"rag_api_{uuid4().hex[:8]}"
        administer(server, f"CREATE DATABASE {name} TEMPLATE rag_template")
        url = at(server, name)
    with running_service(Settings(data_dir=data_dir, database_url=url)) as client:
        yield client


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A folder for a service of one's own."""
    return tmp_path / "data"
