"""API keys and the rate limit."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from corpus.database import Database
from corpus.errors import InvalidRequest, KeyNotFound
from corpus.models import ApiKey
from rag_service.auth import RateLimit, Scope, allows, create_key, find_key, list_keys, revoke_key
from tests.factories import migrated_database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An empty database."""
    database = migrated_database(tmp_path)
    yield database
    database.close()


def test_key_is_found_until_it_is_revoked(database: Database) -> None:
    """The secret finds its key; revoked, it finds nothing from that moment on, and the list still has it."""
    with database.write() as session:
        made = create_key(session, name="laptop", scopes={"query", "metrics"})
        assert find_key(session, made.secret) == made.key
        assert made.key.scopes == ("query", "metrics")
        revoke_key(session, made.key.id)
        assert find_key(session, made.secret) is None
        assert [key.revoked_at is None for key in list_keys(session)] == [False]


def test_secret_is_nowhere_in_the_database(database: Database) -> None:
    """Only its hash is kept."""
    with database.write() as session:
        made = create_key(session, name="laptop", scopes={"query"})
        row = session.get_one(ApiKey, made.key.id)
        assert made.secret not in str(vars(row))
        assert find_key(session, "rag_guess") is None


def test_wrong_keys_are_refused(database: Database) -> None:
    """A key needs a name and known scopes; an unknown id can not be revoked."""
    with database.write() as session:
        wrong: list[tuple[str, set[Scope]]] = [
            ("", {"query"}),
            ("x", set()),
            ("x", {"everything"}),  # type: ignore[arg-type] # no scope, on purpose
        ]
        for name, scopes in wrong:
            with pytest.raises(InvalidRequest):
                create_key(session, name=name, scopes=scopes)
        with pytest.raises(KeyNotFound):
            revoke_key(session, "key_none")


def test_scopes_include_others() -> None:
    """`admin` may do all, writing includes reading, and nothing else includes anything."""
    assert allows(["admin"], "query")
    assert allows(["documents:write"], "documents:read")
    assert not allows(["documents:read"], "documents:write")
    assert not allows(["query"], "metrics")


def test_rate_limit_refills_evenly() -> None:
    """A caller may spend its minute at once and then waits; others are not held up."""
    time = 0.0
    limit = RateLimit(60, clock=lambda: time)
    assert [limit.wait_s("a") for _ in range(60)] == [0.0] * 60
    assert limit.wait_s("a") == pytest.approx(1.0)
    assert limit.wait_s("b") == 0.0
    time = 1.0
    assert limit.wait_s("a") == 0.0
    assert limit.wait_s("a") > 0
