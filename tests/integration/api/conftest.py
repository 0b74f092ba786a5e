"""The whole service over HTTP: real database, indexes and worker; the two models are small stand-ins."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from corpus.settings import Settings
from tests.integration.api.clients import running_service
from tests.integration.conftest import administer, at


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service that all tests of a file share, on each database; each test makes its own collections."""
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
