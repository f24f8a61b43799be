"""`roadstead admin configuration`."""

import difflib
from argparse import ArgumentTypeError, Namespace
from typing import Any

from ctl.admin.assignment import parse_assignment
from ctl.admin.command import Column, Command, Noun, Outcome, argument
from ctl.admin.rest import Row, path
from ctl.admin.session import Session
from ctl.admin.size import parse_size
from ctl.errors import CommandError

_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def _list(session: Session, _options: Namespace) -> Outcome:
    return _configuration(session)


def _get(session: Session, options: Namespace) -> Outcome:
    entry: Row = _entry(_configuration(session), options.key)
    return {"key": options.key, **entry}


def _set(session: Session, options: Namespace) -> Outcome:
    before = _configuration(session)
    values = {key: _value(key, text, _entry(before, key)["value"]) for key, text in options.values}
    session.api.call("PUT", path("configurations"), values)
    after = session.api.changed(path("configurations"))
    return {key: after[key] for key in values}


def _configuration(session: Session) -> dict[str, Row]:
    configuration: dict[str, Row] = session.api.get(path("configurations"))
    return configuration


def _entry(configuration: dict[str, Row], key: str) -> Row:
    if key in configuration:
        return configuration[key]
    close = difflib.get_close_matches(key, configuration, 1)
    advice = f"did you mean {close[0]}?" if close else "`roadstead admin configuration list` shows all"
    raise CommandError(f"there is no key {key}; {advice}")


def _value(key: str, text: str, present: object) -> object:
    """The value that a text means, by the type of the present value. The API refuses those of another type."""
    if isinstance(present, bool):
        if text.lower() not in _FLAGS:
            raise CommandError(f"{key} is true or false, and not {text!r}", 2)
        return _FLAGS[text.lower()]
    if isinstance(present, int):
        try:
            return parse_size(text) if key == "storage_per_project" else int(text)
        except (ArgumentTypeError, ValueError) as error:
            reason = str(error) if key == "storage_per_project" else f"{text!r} is not a number"
            raise CommandError(f"{key}: {reason}", 2) from error
    return text


def _entries(configuration: dict[str, Row]) -> list[Row]:
    return [{"key": key, **entry} for key, entry in configuration.items()]


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


CONFIGURATION = Noun(
    "configuration",
    "what administrators change while it runs (docs/configuration.md)",
    columns=(Column("KEY", "key"), Column("VALUE", "value", _shown), Column("EDITABLE", "editable")),
    commands=(
        Command("list", "list all keys with their values", _list, view=_entries),
        Command("get", "show the value of a key", _get, (argument("key", help="as `list` shows it"),)),
        Command(
            "set",
            "change values; they count everywhere within five seconds",
            _set,
            (
                argument(
                    "values",
                    nargs="+",
                    type=parse_assignment,
                    metavar="KEY=VALUE",
                    help="all that are named are changed, or none",
                ),
            ),
            view=_entries,
        ),
    ),
)
