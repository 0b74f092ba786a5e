"""API keys: making, checking and revoking them; and how often a caller may call.

A key is shown once, when it is made. Only its SHA-256 is kept: 256 random bits need no slow hash.
"""

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast, get_args

from sqlalchemy import select
from sqlalchemy.orm import Session

from corpus.errors import InvalidRequest, KeyNotFound
from corpus.ids import new_id
from corpus.models import ApiKey, now

Scope = Literal["query", "documents:read", "documents:write", "admin", "metrics"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
_SECRET_PREFIX = "rag_"  # noqa: S105 - what every key begins with, so that scanners can find leaked ones
_LONGEST_NAME = 200
_MINUTE_S = 60.0
_MANY_CALLERS = 10_000


@dataclass(frozen=True, slots=True)
class KeyView:
    """A key as it is listed: without itself."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was made a moment ago; `secret` is nowhere else."""

    key: KeyView
    secret: str


def create_key(session: Session, *, name: str, scopes: Collection[Scope]) -> NewKey:
    """Make a key that may do what the scopes say; `admin` includes all others.

    Raises:
        InvalidRequest: the name or the scopes do not fit.
    """
    if not 1 <= len(name.strip()) <= _LONGEST_NAME or not name.isprintable():
        raise InvalidRequest(f"name: must have 1 to {_LONGEST_NAME} printable characters.")
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise InvalidRequest(f"scopes: must be some of {', '.join(SCOPES)}.")
    secret = _SECRET_PREFIX + secrets.token_urlsafe(32)
    ordered = [scope for scope in SCOPES if scope in scopes]
    row = ApiKey(id=new_id("key"), name=name.strip(), sha256=_hash(secret), scopes=ordered)
    session.add(row)
    session.flush()
    return NewKey(_view(row), secret)


def list_keys(session: Session, *, limit: int = 100, after: str | None = None) -> list[KeyView]:
    """Return up to `limit` keys, oldest first, those after the id `after`; revoked ones too."""
    statement = select(ApiKey).order_by(ApiKey.id).limit(limit)
    if after is not None:
        statement = statement.where(ApiKey.id > after)
    return [_view(row) for row in session.scalars(statement)]


def revoke_key(session: Session, key_id: str) -> KeyView:
    """Make a key useless from now on; a second time changes nothing.

    Raises:
        KeyNotFound: there is no such key.
    """
    row = session.get(ApiKey, key_id)
    if row is None:
        raise KeyNotFound(f"There is no key {key_id!r}; `rag keys list` shows which there are.")
    row.revoked_at = row.revoked_at or now()
    session.flush()
    return _view(row)


def find_key(session: Session, secret: str) -> KeyView | None:
    """Return the key that this is, unless it is unknown or revoked."""
    row = session.scalar(select(ApiKey).where(ApiKey.sha256 == _hash(secret), ApiKey.revoked_at.is_(None)))
    return None if row is None else _view(row)


def allows(scopes: Sequence[Scope], needed: Scope) -> bool:
    """Tell whether scopes include what is needed: `admin` all, and writing documents reading them."""
    implied = needed == "documents:read" and "documents:write" in scopes
    return needed in scopes or "admin" in scopes or implied


class RateLimit:
    """So many calls a minute for each caller, spent as fast as they like and refilled evenly.

    In this process alone: several processes together let as many times more pass.
    """

    def __init__(self, calls_a_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._room = calls_a_minute
        self._clock = clock
        self._lock = threading.Lock()
        self._spent: dict[str, tuple[float, float]] = {}  # by caller: calls not yet refilled, at what time

    def wait_s(self, caller: str) -> float:
        """Count one call; 0: it may pass, else the seconds after which the next one may."""
        moment = self._clock()
        refill = self._room / _MINUTE_S
        with self._lock:
            spent, at = self._spent.get(caller, (0.0, moment))
            spent = max(0.0, spent - (moment - at) * refill) + 1
            if spent > self._room:
                return (spent - self._room) / refill
            self._spent[caller] = (spent, moment)
            if len(self._spent) > _MANY_CALLERS:
                self._forget_idle(moment)
        return 0.0

    def _forget_idle(self, moment: float) -> None:
        busy = {caller: entry for caller, entry in self._spent.items() if moment - entry[1] < _MINUTE_S}
        self._spent = busy if len(busy) <= _MANY_CALLERS else {}


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _view(row: ApiKey) -> KeyView:
    scopes = tuple(cast("Scope", scope) for scope in row.scopes)
    return KeyView(row.id, row.name, scopes, row.created_at, row.revoked_at)
