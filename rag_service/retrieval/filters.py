"""Filters on documents: the grammar of OpenAI's file search, and its meaning.

    {"type": "and", "filters": [{"type": "gte", "key": "year", "value": 2020},
                                {"type": "in", "key": "language", "value": ["en", "de"]}]}

A key is a key of the document's metadata, except for the four that mean the document itself: title,
media_type, external_id and created_at. Values are compared with their type: the number 1, the text
"1" and true are three different things. Texts are ordered by code point, so dates in ISO form are
ordered by time. `created_at` takes ISO 8601 (UTC where no zone is given) or Unix seconds.

A document that lacks the key, or holds null, an object, a list or another type there, equals nothing
and is neither greater nor less: it matches `ne` and `nin`, which are the negations of `eq` and `in`,
and nothing else.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypeAlias, cast, get_args

from corpus.errors import InvalidFilter

ComparisonType = Literal["eq", "ne", "gt", "gte", "lt", "lte"]
MembershipType = Literal["in", "nin"]
CombinationType = Literal["and", "or"]
Value: TypeAlias = str | int | float | bool

DOCUMENT_TEXTS = ("title", "media_type", "external_id")
MAX_DEPTH = 10
MAX_CONDITIONS = 200
MAX_VALUES = 1000
_MAX_INTEGER = 2**63 - 1  # beyond, SQLite itself keeps a floating-point number


@dataclass(frozen=True, slots=True)
class Comparison:
    """The document's value at `key` stands in this relation to `value`."""

    type: ComparisonType
    key: str
    value: Value


@dataclass(frozen=True, slots=True)
class Membership:
    """The document's value at `key` is, or is not, one of `values`."""

    type: MembershipType
    key: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Combination:
    """All, or at least one, of `filters` hold."""

    type: CombinationType
    filters: tuple["Filter", ...]


Filter: TypeAlias = Comparison | Membership | Combination


def parse_filter(data: object) -> Filter:
    """Read a filter from what `json.loads` returned.

    Raises:
        InvalidFilter: the data is outside the grammar, or deeper or longer than the limits.
    """
    parsed = _parse(data, "filters", depth=1)
    if _count_conditions(parsed) > MAX_CONDITIONS:
        raise InvalidFilter(
            f"filters: more than {MAX_CONDITIONS} conditions; use `in` with a list of values."
        )
    if _count_values(parsed) > MAX_VALUES:
        raise InvalidFilter(f"filters: more than {MAX_VALUES} values in all; ask in several requests.")
    return parsed


def _parse(data: object, place: str, *, depth: int) -> Filter:
    if not isinstance(data, Mapping):
        raise InvalidFilter(f"{place}: must be an object with a `type`.")
    if depth > MAX_DEPTH:
        raise InvalidFilter(f"{place}: nested deeper than {MAX_DEPTH} levels.")
    kind = data.get("type")
    if kind in get_args(CombinationType):
        _require_fields(data, {"type", "filters"}, place)
        return Combination(
            cast("CombinationType", kind), _parse_all(data["filters"], f"{place}.filters", depth=depth + 1)
        )
    if kind in get_args(MembershipType):
        _require_fields(data, {"type", "key", "value"}, place)
        key = _parse_key(data["key"], f"{place}.key")
        return Membership(
            cast("MembershipType", kind), key, _parse_values(data["value"], key, f"{place}.value")
        )
    if kind in get_args(ComparisonType):
        _require_fields(data, {"type", "key", "value"}, place)
        key = _parse_key(data["key"], f"{place}.key")
        comparison = cast("ComparisonType", kind)
        return Comparison(
            comparison, key, _parse_comparable(comparison, data["value"], key, f"{place}.value")
        )
    raise InvalidFilter(f"{place}.type: must be one of eq, ne, gt, gte, lt, lte, in, nin, and, or.")


def _parse_all(data: object, place: str, *, depth: int) -> tuple[Filter, ...]:
    if not isinstance(data, Sequence) or isinstance(data, str) or not data:
        raise InvalidFilter(f"{place}: must be a list of at least one filter.")
    return tuple(_parse(item, f"{place}[{number}]", depth=depth) for number, item in enumerate(data))


def _require_fields(data: Mapping[object, object], names: set[str], place: str) -> None:
    if set(data) != names:
        raise InvalidFilter(f"{place}: needs exactly the fields {', '.join(sorted(names))}.")


def _parse_key(data: object, place: str) -> str:
    if not isinstance(data, str) or not data:
        raise InvalidFilter(f"{place}: must be a text of at least one character.")
    return _parse_text(data, place)


def _parse_text(data: str, place: str) -> str:
    try:
        data.encode()
    except UnicodeEncodeError as error:
        raise InvalidFilter(f"{place}: holds half a surrogate pair, which is no character.") from error
    if "\0" in data:
        raise InvalidFilter(f"{place}: holds the character U+0000, which no document has.")
    return data


def _parse_values(data: object, key: str, place: str) -> tuple[Value, ...]:
    if not isinstance(data, Sequence) or isinstance(data, str):
        raise InvalidFilter(f"{place}: must be a list of texts, numbers or booleans.")
    return tuple(_parse_value(item, key, f"{place}[{number}]") for number, item in enumerate(data))


def _parse_comparable(kind: ComparisonType, data: object, key: str, place: str) -> Value:
    if isinstance(data, bool) and kind not in {"eq", "ne"}:
        raise InvalidFilter(f"{place}: true and false have no order; use eq or ne.")
    return _parse_value(data, key, place)


def _parse_value(data: object, key: str, place: str) -> Value:
    if not isinstance(data, str | int | float):
        raise InvalidFilter(f"{place}: must be a text, a number or a boolean.")
    value = _parse_text(data, place) if isinstance(data, str) else data
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = _parse_number(value, place)
    if key == "created_at":
        moment_of(value, place)
    elif key in DOCUMENT_TEXTS and not isinstance(value, str):
        raise InvalidFilter(f"{place}: {key} is compared with texts.")
    return value


def _parse_number(value: float, place: str) -> float:
    try:
        finite = math.isfinite(value)
    except OverflowError:
        finite = False
    if not finite:
        raise InvalidFilter(f"{place}: must be a finite number.")
    return float(value) if abs(value) > _MAX_INTEGER else value


def moment_of(value: Value, place: str) -> datetime:
    """Return the moment that a value for `created_at` means.

    Raises:
        InvalidFilter: it means none; the message begins with `place`.
    """
    if isinstance(value, bool):
        raise InvalidFilter(f"{place}: created_at needs a date in ISO 8601 form or Unix seconds.")
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidFilter(f"{place}: created_at needs a date in ISO 8601 form or Unix seconds.") from error


def _count_conditions(parsed: Filter) -> int:
    return sum(map(_count_conditions, parsed.filters)) if isinstance(parsed, Combination) else 1


def _count_values(parsed: Filter) -> int:
    if isinstance(parsed, Combination):
        return sum(map(_count_values, parsed.filters))
    return len(parsed.values) if isinstance(parsed, Membership) else 1
