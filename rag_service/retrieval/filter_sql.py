"""What a filter means in SQL, on SQLite's JSON and on PostgreSQL's JSONB."""

import operator
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Literal, TypeAlias

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Numeric,
    Text,
    and_,
    case,
    exists,
    false,
    func,
    not_,
    or_,
    select,
    true,
    type_coerce,
)

from corpus.models import Document
from rag_service.retrieval.filters import (
    DOCUMENT_TEXTS,
    Combination,
    Filter,
    Membership,
    Value,
    moment_of,
)

Test: TypeAlias = Callable[[ColumnElement[Any]], ColumnElement[bool]]
Kind: TypeAlias = Literal["text", "number", "boolean"]
_JSON_TYPES = {"text": ("text",), "number": ("integer", "real"), "boolean": ("true", "false")}
_JSONB_TYPES = {"text": "string", "number": "number", "boolean": "boolean"}
_RELATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def document_condition(parsed: Filter, *, postgresql: bool) -> ColumnElement[bool]:
    """Return the filter as a condition on `Document`; it is true or false, never NULL."""
    if isinstance(parsed, Combination):
        parts = [document_condition(part, postgresql=postgresql) for part in parsed.filters]
        return and_(true(), *parts) if parsed.type == "and" else or_(false(), *parts)
    if isinstance(parsed, Membership):
        found = _equals(parsed.key, parsed.values, postgresql=postgresql)
        return found if parsed.type == "in" else not_(found)
    if parsed.type in {"eq", "ne"}:
        found = _equals(parsed.key, (parsed.value,), postgresql=postgresql)
        return found if parsed.type == "eq" else not_(found)
    relate, value = _RELATIONS[parsed.type], _bound(parsed.key, parsed.value, postgresql=postgresql)
    return _held(parsed.key, _kind(value), lambda stored: relate(stored, value), postgresql=postgresql)


def _equals(key: str, values: Sequence[Value], *, postgresql: bool) -> ColumnElement[bool]:
    """One IN list a type of value: a long chain of OR would be too deep for SQLite."""
    lists: dict[Kind, list[object]] = {}
    for value in values:
        bound = _bound(key, value, postgresql=postgresql)
        lists.setdefault(_kind(bound), []).append(bound)
    found = [_held(key, kind, _one_of(wanted), postgresql=postgresql) for kind, wanted in lists.items()]
    return or_(false(), *found)


def _one_of(wanted: Sequence[object]) -> Test:
    return lambda stored: stored.in_(wanted)


def _bound(key: str, value: Value, *, postgresql: bool) -> object:
    if key == "created_at":
        return moment_of(value, key)
    if isinstance(value, bool | str) or not postgresql:
        return value
    return Decimal(repr(value))  # PostgreSQL rounds a double to 15 digits when it becomes a NUMERIC


def _kind(bound: object) -> Kind:
    if isinstance(bound, bool):
        return "boolean"
    return "number" if isinstance(bound, int | float | Decimal) else "text"


def _held(key: str, kind: Kind, test: Test, *, postgresql: bool) -> ColumnElement[bool]:
    """Whether the document has a value of this kind at `key`, and the value passes the test."""
    if key == "created_at":
        return test(Document.__table__.c.created_at)
    if key in DOCUMENT_TEXTS:
        stored: ColumnElement[Any] = Document.__table__.c[key]
        return func.coalesce(test(stored.collate("C") if postgresql else stored), false())
    return _in_jsonb(key, kind, test) if postgresql else _in_json(key, kind, test)


def _in_json(key: str, kind: Kind, test: Test) -> ColumnElement[bool]:
    """SQLite: `json_each` takes any key as it is, where a JSON path would need quoting."""
    rows = func.json_each(Document.metadata_).table_valued("key", "value", "type")
    stored: ColumnElement[Any] = rows.c.value
    if kind == "boolean":
        stored = type_coerce(rows.c.value, Boolean())  # JSON's true is SQLite's 1
    fits = and_(rows.c.key == key, rows.c.type.in_(_JSON_TYPES[kind]), test(stored))
    return exists(select(rows.c.key).select_from(rows).where(fits))


def _in_jsonb(key: str, kind: Kind, test: Test) -> ColumnElement[bool]:
    """PostgreSQL: the type is asked for in a CASE, because AND may evaluate a failing cast first."""
    text = Document.metadata_.op("->>", return_type=Text())(key)
    match kind:
        case "text":
            stored: ColumnElement[Any] = text.collate("C")
        case "number":
            stored = text.cast(Numeric)
        case "boolean":
            stored = text.cast(Boolean)
    right_type = func.jsonb_typeof(Document.metadata_.op("->")(key)) == _JSONB_TYPES[kind]
    return case((right_type, test(stored)), else_=false())
