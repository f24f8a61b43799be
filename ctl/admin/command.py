"""What a command is made of: a noun, a verb, its arguments, what it calls, and the columns that it shows."""

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ctl.admin.rest import Row

if TYPE_CHECKING:
    from ctl.admin.session import Session

Outcome = Sequence[Row] | Row | None
"""What a command prints: a list, one object, or nothing."""


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a command.

    Attributes:
        names: "user", or "--email".
        options: the other arguments of `ArgumentParser.add_argument`.
        exclusive: only one of the arguments of a command with the same word here may be given; empty for none.
    """

    names: tuple[str, ...]
    options: Mapping[str, Any]
    exclusive: str = ""


def argument(*names: str, exclusive: str = "", **options: Any) -> Argument:
    """An argument, written as for `ArgumentParser.add_argument`."""
    return Argument(names, options, exclusive)


def shown(value: object) -> str:
    """A value in a table."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def shown_enabled(is_disabled: bool | None) -> str:
    """Whether an account may log in, in a table. The JSON has the opposite, and may leave it out."""
    return shown(not is_disabled)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        title: in capital letters.
        field: of the JSON; dots lead into objects within it.
        show: how a value is shown. It gets None where the field is absent.
    """

    title: str
    field: str
    show: Callable[[Any], str] = shown

    def of(self, row: Mapping[str, Any]) -> str:
        """The text in a row."""
        value: Any = row
        for name in self.field.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        return self.show(value)


def unchanged(outcome: Any) -> Any:
    """The table shows the objects as the JSON has them."""
    return outcome


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Attributes:
        verb: such as "list".
        help: what it does, without a full stop.
        call: does it.
        arguments: besides those that every command has.
        columns: of the table; the noun's columns if empty.
        view: makes the objects of the table from the JSON.
        asks: what is asked before it is done, such as "delete the user {user}"; empty if nothing is.
        has_output: whether it prints a result, and so takes --json.
        needs_installation: whether it talks to an installation, and so takes --profile and --data-dir.
    """

    verb: str
    help: str
    call: "Callable[[Session, Namespace], Outcome]"
    arguments: tuple[Argument, ...] = ()
    columns: tuple[Column, ...] = ()
    view: Callable[[Any], Any] = unchanged
    asks: str = ""
    has_output: bool = True
    needs_installation: bool = True


@dataclass(frozen=True, slots=True)
class Noun:
    """What commands are about.

    Attributes:
        name: such as "users".
        help: what it is, without a full stop.
        columns: of the tables that show it.
        commands: in the order of the help.
    """

    name: str
    help: str
    columns: tuple[Column, ...]
    commands: tuple[Command, ...]
