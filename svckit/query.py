r"""Parses Harbor's list parameters `q` and `sort` (reference: Harbor's API conventions).

`q` is a list of clauses separated by commas. A row must match all of them:

    name=nginx                      exactly this value
    name=~ngi                       contains this text, upper or lower case
    creation_time=[2026-01-01T00:00:00~]   from … to; either end may be left out, both ends are included
    tag={a b c}                     any of these values
    label=(1 2)                     all of these values
    name=\~x                        exactly ~x: after a backslash, the first character has no meaning

A value in double quotes may contain separators. Quotes of both kinds around the values of lists and ranges do not
count. `sort` is a list of keys; a `-` before a key means descending order.

Harbor knows a key by its column and by its field in Go (`project_id`, `ProjectID`), so case and underscores do not
matter in names.

The caller says which keys there are and which types they have. Anything else is refused: if an unknown filter were
ignored, the list would show rows that were not asked for.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import NoReturn
from urllib.parse import unquote_plus

from svckit.errors import FieldViolation, Invalid

Value = str | int | bool | datetime | None
"""The value of a clause, in the type of its key. None is Harbor's `nil`: the column has no value."""

MAXIMUM_CHARACTERS = 4096
"""A longer `q` or `sort` is refused."""
MAXIMUM_CLAUSES = 32
MAXIMUM_VALUES = 100
"""The most values in all lists of a `q` together. SQLite refuses a condition with more than 1,000 parts."""

_MAXIMUM_NUMBER = 2**63 - 1


class Form(Enum):
    """The forms that a clause can have."""

    EXACT = "exact"
    FUZZY = "fuzzy"
    RANGE = "range"
    ANY_OF = "any of"
    ALL_OF = "all of"


@dataclass(frozen=True, slots=True)
class Key:
    """The type and the allowed forms of one key.

    Attributes:
        name: the name in the store. Several client names may have the same one.
        value_type: the type of its values: str, int, bool or datetime.
        forms: the allowed forms; if empty, the forms that make sense for a column of its type.
        nullable: whether `k=nil` is allowed.
    """

    name: str
    value_type: type[str] | type[int] | type[bool] | type[datetime] = str
    forms: frozenset[Form] = frozenset()
    nullable: bool = False

    @property
    def allowed_forms(self) -> frozenset[Form]:
        """The forms in which the key may be used."""
        return self.forms or _FORMS_OF_TYPE[self.value_type]


_FORMS_OF_TYPE: Mapping[type, frozenset[Form]] = {
    str: frozenset({Form.EXACT, Form.FUZZY, Form.ANY_OF}),
    int: frozenset({Form.EXACT, Form.RANGE, Form.ANY_OF}),
    bool: frozenset({Form.EXACT}),
    datetime: frozenset({Form.EXACT, Form.RANGE}),
}


@dataclass(frozen=True, slots=True)
class Exact:
    """The key has exactly this value."""

    key: str
    value: Value


@dataclass(frozen=True, slots=True)
class Fuzzy:
    """The key's value contains this text, upper or lower case. The text is never empty."""

    key: str
    text: str


@dataclass(frozen=True, slots=True)
class Range:
    """The key's value is between these, both included. None means no limit; at most one of them is None."""

    key: str
    minimum: int | datetime | None
    maximum: int | datetime | None


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The key's value is one of these."""

    key: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    """The row has all of these values, for keys that can have several (tags, labels)."""

    key: str
    values: tuple[Value, ...]


Clause = Exact | Fuzzy | Range | AnyOf | AllOf


@dataclass(frozen=True, slots=True)
class Order:
    """One key of a sort."""

    key: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed `q`."""

    clauses: tuple[Clause, ...] = field(default=())

    def exact(self, key: str) -> Value:
        """The exact value that the query demands for a key; None without such a clause."""
        for clause in self.clauses:
            if isinstance(clause, Exact) and clause.key == key:
                return clause.value
        return None

    def without(self, *keys: str) -> "Query":
        """The clauses on all other keys."""
        return Query(tuple(clause for clause in self.clauses if clause.key not in keys))


def parse_query(text: str, keys: Mapping[str, Key]) -> Query:
    """Reads `q`.

    Args:
        text: the text as the client sent it. The empty text matches everything.
        keys: the allowed keys, by the names that clients use.

    Raises:
        Invalid: BAD_REQUEST for an unknown key, a form that the key does not allow, or a value of the wrong type.
    """
    if len(text) > MAXIMUM_CHARACTERS:
        _refuse("q", f"is longer than {MAXIMUM_CHARACTERS} characters")
    # Harbor decodes `q` twice, so its clients may have encoded it twice.
    decoded = unquote_plus(text) if "%" in text else text
    if not decoded.strip():
        return Query()
    if "\0" in decoded:
        # No row can contain NUL, and PostgreSQL refuses to search for it.
        _refuse("q", "contains a character that is not allowed")
    by_name = {_plain(name): key for name, key in keys.items()}
    parts = _split(decoded, ",")
    if len(parts) > MAXIMUM_CLAUSES:
        _refuse("q", f"has more than {MAXIMUM_CLAUSES} clauses")
    clauses = tuple(_clause(part, by_name, keys.keys()) for part in parts)
    if sum(len(clause.values) for clause in clauses if isinstance(clause, AnyOf | AllOf)) > MAXIMUM_VALUES:
        _refuse("q", f"has more than {MAXIMUM_VALUES} values in its lists")
    return Query(clauses)


def parse_sort(text: str, keys: Mapping[str, str] | Collection[str]) -> tuple[Order, ...]:
    """Reads `sort`: `name,-creation_time`.

    Args:
        text: the text as the client sent it; empty for no order.
        keys: the allowed keys; as a mapping, from the names that clients use to those of the store.

    Raises:
        Invalid: BAD_REQUEST for an unknown key, or one that is given twice.
    """
    if len(text) > MAXIMUM_CHARACTERS:
        _refuse("sort", f"is longer than {MAXIMUM_CHARACTERS} characters")
    names = keys if isinstance(keys, Mapping) else {name: name for name in keys}
    by_name = {_plain(name): key for name, key in names.items()}
    orders: list[Order] = []
    for part in (part.strip() for part in text.split(",") if part.strip()):
        name = by_name.get(_plain(part.removeprefix("-")))
        if name is None:
            _refuse("sort", f"cannot sort by {part.removeprefix('-')!a}; allowed: {', '.join(sorted(names))}")
        if any(order.key == name for order in orders):
            _refuse("sort", f"{name} is named twice")
        orders.append(Order(name, descending=part.startswith("-")))
    return tuple(orders)


def _clause(part: str, keys: Mapping[str, Key], names: Collection[str]) -> Clause:
    name, equals, pattern = part.partition("=")
    name, pattern = name.strip(), pattern.strip()
    if not equals or not name or not pattern:
        _refuse("q", f"{part.strip()!a} is not a clause of the form key=value")
    key = keys.get(_plain(name))
    if key is None:
        _refuse("q", f"there is no key {name!a}; allowed: {', '.join(sorted(names))}")
    form, body = _form(name, pattern)
    if form not in key.allowed_forms:
        _refuse("q", f"{name} cannot be used in the form {form.value!r}")
    return _BUILDERS[form](key, name, body)


def _form(name: str, pattern: str) -> tuple[Form, str]:
    """The form of a pattern, and the text inside its brackets."""
    first, last = pattern[0], pattern[-1]
    if first == "~":
        return Form.FUZZY, pattern[1:]
    for opening, closing, form in (("[", "]", Form.RANGE), ("{", "}", Form.ANY_OF), ("(", ")", Form.ALL_OF)):
        if first == opening:
            if last != closing or len(pattern) < 2:
                _refuse("q", f"the value of {name} begins with {opening!r} and does not end with {closing!r}")
            return form, pattern[1:-1]
    return Form.EXACT, pattern


def _exact(key: Key, name: str, body: str) -> Exact:
    # A backslash at the beginning: what follows is no form, and `nil` not the missing value.
    if body.startswith("\\"):
        return Exact(key.name, _typed(key, name, body[1:]))
    return Exact(key.name, _value(key, name, body))


def _fuzzy(key: Key, name: str, body: str) -> Fuzzy:
    text = _unquoted(body)
    if not text:
        _refuse("q", f"{name}=~ has no text to search for")
    return Fuzzy(key.name, text)


def _range(key: Key, name: str, body: str) -> Range:
    ends = [end.strip() for end in body.split("~")]
    if len(ends) != 2 or not any(ends):
        _refuse("q", f"the range of {name} is not of the form [min~max]")
    minimum, maximum = (_value(key, name, _unwrapped(end)) if end else None for end in ends)
    # Only numbers and times have ranges (_FORMS_OF_TYPE). A key that allows ranges of texts is a mistake in the
    # program.
    if isinstance(minimum, str) or isinstance(maximum, str):
        _refuse("q", f"{name} has no ranges")
    return Range(key.name, minimum, maximum)


def _any_of(key: Key, name: str, body: str) -> AnyOf:
    return AnyOf(key.name, _values(key, name, body))


def _all_of(key: Key, name: str, body: str) -> AllOf:
    return AllOf(key.name, _values(key, name, body))


_BUILDERS: Mapping[Form, Callable[[Key, str, str], Clause]] = {
    Form.EXACT: _exact,
    Form.FUZZY: _fuzzy,
    Form.RANGE: _range,
    Form.ANY_OF: _any_of,
    Form.ALL_OF: _all_of,
}


def _values(key: Key, name: str, body: str) -> tuple[Value, ...]:
    parts = [part for part in _split(body, " ") if part]
    if not parts:
        _refuse("q", f"the list of {name} is empty")
    return tuple(_value(key, name, _unwrapped(part)) for part in parts)


def _value(key: Key, name: str, text: str) -> Value:
    if key.nullable and text == "nil":
        return None
    return _typed(key, name, _unquoted(text))


def _typed(key: Key, name: str, plain: str) -> Value:
    if key.value_type is bool:
        # Harbor's clients use Go's forms of a boolean.
        match plain.lower():
            case "true" | "1" | "t":
                return True
            case "false" | "0" | "f":
                return False
        _refuse("q", f"{name} must be true or false, not {plain!a}")
    if key.value_type is int:
        return _number(name, plain)
    if key.value_type is datetime:
        return _time(name, plain)
    return plain


def _number(name: str, text: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= len(str(_MAXIMUM_NUMBER))):
        _refuse("q", f"{name} must be a number, not {text!a}")
    number = int(text)
    if not -_MAXIMUM_NUMBER <= number <= _MAXIMUM_NUMBER:
        _refuse("q", f"{name} must be a number of 64 bits")
    return number


def _time(name: str, text: str) -> datetime:
    # Harbor's form is 2006-01-02T15:04:05, in UTC. The other forms of ISO 8601 (with a zone or fractions) are accepted,
    # too. A "+" that was decoded to a space is not restored.
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        # OverflowError: a time in the year 1 or 9999 that in UTC is outside these years.
        _refuse("q", f"{name} must be a time such as 2026-01-31T12:00:00, not {text!a}")


def _unquoted(text: str) -> str:
    stripped = text.strip()
    if len(stripped) >= 2 and stripped[0] == stripped[-1] == '"':
        return stripped[1:-1]
    return stripped


def _unwrapped(text: str) -> str:
    """A value of a list or range without the single quotes around it, which Harbor removes there."""
    return text.strip("'")


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _split(text: str, separator: str) -> list[str]:
    """Splits at separators that are outside double quotes."""
    parts: list[str] = [""]
    quoted = False
    for character in text:
        if character == '"':
            quoted = not quoted
        if character == separator and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    if quoted:
        _refuse("q", "a double quote is not closed")
    return parts


def _refuse(field_name: str, description: str) -> NoReturn:
    raise Invalid("BAD_REQUEST", f"{field_name}: {description}", violations=[FieldViolation(field_name, description)])
