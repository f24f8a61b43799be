"""The command line of `roadstead admin keys`. It imports its tasks when one is chosen, as `ctl.__main__` does."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctl.data_dir import DataDir
from ctl.errors import CommandError
from svckit.services import SERVICES

if TYPE_CHECKING:
    from ctl.key_places import KeyPlaces

_LONGEST_OVERLAP_SECONDS = 7 * 86400
_WRONG_ARGUMENTS = 2


def add_keys(tasks: "argparse._SubParsersAction[Any]") -> None:
    """Adds `keys`, and what it can do, to the tasks of `roadstead admin`."""
    keys = tasks.add_parser(
        "keys",
        help="list, rotate and revoke the keys that sign tokens",
        description=(
            "The keys with which services sign tokens, of an installation of `roadstead up` (--data-dir) or of "
            "`roadstead serve` (--config). Without a command, lists them."
        ),
    )
    _add_places(keys, default=None)
    _add_json(keys, default=False)
    keys.set_defaults(run=_list)
    commands = keys.add_subparsers(title="commands", metavar="COMMAND")

    listing = commands.add_parser(
        "list",
        help="list the keys: which signs, which only verifies, since and until when",
        description="Lists the keys: which signs, which is next, which only verifies, since when and until when.",
    )
    _add_places(listing)
    _add_json(listing)
    listing.set_defaults(run=_list)

    rotate = commands.add_parser(
        "rotate",
        help="give services new keys, without a restart",
        description=(
            "Prepares new keys, waits until every process knows their public halves, and activates them. Running "
            "services take them up within 5 seconds. The old public keys stay until the tokens that they verify have "
            "expired. Where machines have copies of the trust bundle or of key files, use prepare and activate."
        ),
    )
    _add_services(rotate)
    rotate.set_defaults(run=_rotate)

    prepare = commands.add_parser(
        "prepare",
        help="the first half of rotate: make new keys, and publish them",
        description=(
            "The first half of rotate, for several machines: makes new keys, and publishes their public halves in the "
            "trust bundle. Nothing is signed with them before activate."
        ),
    )
    _add_services(prepare)
    prepare.set_defaults(run=_prepare)

    activate = commands.add_parser(
        "activate",
        help="the second half of rotate: sign with the prepared keys",
        description=(
            "The second half of rotate: services sign with the prepared keys from now on, and the old ones get an end. "
            "It refuses a key that was prepared less than the overlap ago."
        ),
    )
    _add_services(activate)
    activate.set_defaults(run=_activate)

    revoke = commands.add_parser(
        "revoke",
        help="cut off a key that has leaked",
        description=(
            "What the key signed is refused within 5 seconds. A key that signs is replaced first. The command says "
            "what breaks. A revoked key is never trusted again."
        ),
    )
    revoke.add_argument("kid", metavar="KEY", help="as `keys list` shows it; after -- if it begins with a hyphen")
    _add_places(revoke)
    revoke.set_defaults(run=_revoke)

    prune = commands.add_parser(
        "prune",
        help="remove the public keys whose tokens have all expired",
        description="Removes the public keys whose tokens have all expired. No process trusts them any more.",
    )
    _add_places(prune)
    prune.set_defaults(run=_prune)


# A default of a subcommand would replace what was given before its name, so the subcommands have none.
def _add_places(parser: argparse.ArgumentParser, default: Any = argparse.SUPPRESS) -> None:
    places = parser.add_mutually_exclusive_group()
    places.add_argument(
        "--data-dir",
        type=lambda text: DataDir(Path(text).absolute()),
        default=default,
        metavar="DIR",
        help=f"where `roadstead up` stores all data (default: {DataDir.default().path})",
    )
    places.add_argument(
        "--config", type=Path, default=default, metavar="FILE", help="the settings of `roadstead serve`, in TOML"
    )


def _add_json(parser: argparse.ArgumentParser, default: Any = argparse.SUPPRESS) -> None:
    parser.add_argument("--json", action="store_true", default=default, help="print JSON")


def _add_services(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "services",
        nargs="*",
        type=_service,
        metavar="SERVICE",
        help=f"{', '.join(SERVICES)}; all whose key file is on this machine, if none is named",
    )
    _add_places(parser)
    parser.add_argument(
        "--overlap-seconds",
        type=_overlap,
        default=None,
        metavar="SECONDS",
        help="how long it takes until every process on every machine has read a change of the trust bundle, and every "
        "replica has its new key file (default: 5 with --data-dir, 0 if that is stopped; 120 with --config)",
    )


def _places(options: argparse.Namespace) -> "KeyPlaces":
    from ctl.key_places import KeyPlaces

    overlap_seconds = getattr(options, "overlap_seconds", None)
    if options.config is None:
        return KeyPlaces.of_data_dir(options.data_dir or DataDir.default(), overlap_seconds)
    if options.data_dir is not None:
        raise CommandError("--data-dir and --config name two installations; give one of them", _WRONG_ARGUMENTS)
    return KeyPlaces.of_config(options.config, overlap_seconds)


def _list(options: argparse.Namespace) -> int:
    from ctl.keys import list_keys

    return list_keys(_places(options), as_json=options.json)


def _rotate(options: argparse.Namespace) -> int:
    from ctl.keys import rotate

    return rotate(_places(options), options.services)


def _prepare(options: argparse.Namespace) -> int:
    from ctl.keys import prepare

    return prepare(_places(options), options.services)


def _activate(options: argparse.Namespace) -> int:
    from ctl.keys import activate

    return activate(_places(options), options.services)


def _revoke(options: argparse.Namespace) -> int:
    from ctl.keys import revoke

    return revoke(_places(options), options.kid)


def _prune(options: argparse.Namespace) -> int:
    from ctl.keys import prune

    return prune(_places(options))


def _service(text: str) -> str:
    if text not in SERVICES:
        raise argparse.ArgumentTypeError(f"{text!r} is not a service; there are {', '.join(SERVICES)}")
    return text


def _overlap(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _LONGEST_OVERLAP_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to {_LONGEST_OVERLAP_SECONDS}")
    return seconds
