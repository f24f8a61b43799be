"""The command line. Each subcommand imports its modules when chosen, so that the supervisor uses little memory."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ctl.arguments import Parser
from ctl.data_dir import DataDir
from ctl.errors import CommandError
from ctl.listen import Address
from ctl.service import serve
from svckit.services import PORT_COUNT, SERVICES

_DESCRIPTION = """\
An OCI and Docker registry with Harbor's management model.

  roadstead up        run everything on this machine, with nothing else installed
  roadstead serve     run one service, for production
  roadstead admin     manage an installation, here or elsewhere
"""


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and returns its exit status: 0; 1 or 78 if it failed; 2 if the arguments are wrong."""
    given = sys.argv[1:] if arguments is None else arguments
    # The commands of admin are many, and the supervisor needs none of them.
    options = command_line(with_admin=given[:1] == ["admin"]).read(given)
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        return 130
    except CommandError as error:
        print(f"roadstead: {error}", file=sys.stderr)
        return error.status


def workers_for(cores: int) -> int:
    """How many processes of the gateway suit a machine.

    Each keeps one core busy at most, and for each of them, about one more is needed by the services behind it. metasvc
    has one process, so more than four would only wait for it.

    Args:
        cores: that this process may use.
    """
    return max(1, min(4, cores // 2))


def command_line(*, with_admin: bool) -> Parser:
    """The parser of all commands.

    Args:
        with_admin: whether it knows the commands of `roadstead admin`.
    """
    parser = Parser(prog="roadstead", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action=_Version, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_up(commands)
    _add_serve(commands)
    admin = commands.add_parser(
        "admin",
        help="manage an installation, on this machine or elsewhere",
        description="Manages an installation: that of `roadstead up` on this machine, or a remote one with --profile.",
    )
    if with_admin:
        _add_admin(admin, parser)
    return parser


def _add_up(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = commands.add_parser(
        "up",
        help="start everything on this machine",
        description=(
            "Starts all services as child processes and prints `ready http://HOST:PORT` when they serve. "
            "The first start makes keys and the user admin, with the password in ROADSTEAD_ADMIN_PASSWORD or a random "
            "one. Variables ROADSTEAD_<SERVICE>_<SETTING> reach the services. SIGTERM and Ctrl-C stop everything; "
            "a second signal kills what still runs."
        ),
    )
    _add_data_dir(parser)
    parser.add_argument(
        "--http",
        type=_address,
        default=Address("127.0.0.1", 8080),
        metavar="HOST:PORT",
        help="where HTTP is served; port 0 for any free port (default: %(default)s)",
    )
    parser.add_argument(
        "--grpc-port",
        type=_first_port,
        default=9401,
        metavar="N",
        help=f"the first of {PORT_COUNT} loopback ports for gRPC callers, one for each service; 0 for no ports "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--metrics-port",
        type=_first_port,
        default=0,
        metavar="N",
        help=f"the first of the loopback ports for Prometheus: {PORT_COUNT} in the order of --grpc-port, then one for "
        "each process of the gateway and each worker of jobs; 0 for no ports (default: %(default)s)",
    )
    parser.add_argument(
        "--workers",
        type=_positive,
        default=workers_for(len(os.sched_getaffinity(0))),
        metavar="N",
        help="how many processes of the gateway to run (default: one for each two cores; here %(default)s)",
    )
    parser.add_argument(
        "--job-workers",
        type=_positive,
        default=1,
        metavar="N",
        help="how many processes run tasks of jobs (default: %(default)s)",
    )
    parser.add_argument(
        "--hang-seconds",
        type=_seconds,
        default=30.0,
        metavar="SECONDS",
        help="restart a process that answers no health check for so long; 0 for never (default: %(default)g)",
    )
    parser.add_argument(
        "--start-anyway",
        action="append",
        default=[],
        choices=[name for name, row in SERVICES.items() if row.database or row.keeps_files],
        metavar="SERVICE",
        help="start this service although its database or blob folder is missing, empty or another installation's; "
        "may be repeated",
    )
    parser.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        default="info",
        help="the least severe level that is logged (default: %(default)s)",
    )
    parser.set_defaults(run=_up)


def _add_serve(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = commands.add_parser(
        "serve",
        help="run one service in this process",
        description=(
            "Runs one service until SIGTERM or SIGINT. Its settings come from its section of the file and [common], "
            "then from variables ROADSTEAD_<SERVICE>_<SETTING>; deploy/roadstead.toml lists them all."
        ),
    )
    parser.add_argument("service", choices=tuple(SERVICES), help="the service that this process is")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings in TOML")
    parser.set_defaults(run=lambda options: serve(options.service, options.config))


def _add_admin(admin: Parser, root: Parser) -> None:
    from ctl.admin.arguments import add_nouns
    from ctl.changes_arguments import add_changes
    from ctl.keys_arguments import add_keys

    tasks = admin.add_subparsers(title="tasks", metavar="TASK", required=True)
    add_nouns(tasks, root)
    add_keys(tasks)
    add_changes(tasks)


def _add_data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir",
        type=lambda text: DataDir(Path(text).absolute()),
        default=DataDir.default(),
        metavar="DIR",
        help=f"where all data is stored (default: {DataDir.default().path})",
    )


def _up(options: argparse.Namespace) -> int:
    from ctl.up import Options, up

    chosen = Options(
        data_dir=options.data_dir,
        http=options.http,
        grpc_port=options.grpc_port,
        metrics_port=options.metrics_port,
        workers=options.workers,
        job_workers=options.job_workers,
        log_level=options.log_level,
        hang_seconds=options.hang_seconds,
        start_anyway=tuple(options.start_anyway),
    )
    return up(chosen)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to 86400")
    return seconds


class _Version(argparse.Action):
    """Looks the version up only on request, because the look-up is slower than the rest of the command line."""

    def __init__(self, option_strings: Sequence[str], dest: str, **others: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **others)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"roadstead {version('roadstead')}")
        parser.exit()


def _address(text: str) -> Address:
    try:
        return Address.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _first_port(text: str) -> int:
    above = PORT_COUNT - 1
    if not (text.isascii() and text.isdigit()) or int(text) > 65535 - above:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port with {above} more ports above it")
    return int(text)


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 64")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
