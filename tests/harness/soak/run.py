"""A soak: clients at work, first while services are killed, then in peace; and at the end everything is looked at."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

from tests.harness.installation import Installation
from tests.harness.meta_rows import MetaRows
from tests.harness.soak.actor import Actor, Shelf
from tests.harness.soak.chaos import Chaos
from tests.harness.soak.client import RegistryClient
from tests.harness.soak.invariants import Invariants
from tests.harness.soak.ledger import Ledger, OwnRepository
from tests.harness.soak.resources import Holding, growth, holdings
from tests.harness.soak.traffic import Traffic
from tests.harness.soak.watcher import Watcher
from tests.harness.workspace import PROJECT_ADMIN, Management

_SMALL_QUOTA_BYTES = 3_000_000
_FINDINGS_SHOWN = 40
# Caches and pools are full by then.
_WARM_SHARE = 0.4
_MORE_DESCRIPTORS = 24
_MORE_RESIDENT_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True)
class Plan:
    """How long and how hard.

    Attributes:
        seed: of all chance. Threads meet differently each time, but do the same.
        storm_seconds: in which services are killed.
        calm_seconds: of work after that, in which nothing may fail or grow.
        clients: at once.
    """

    seed: int
    storm_seconds: float
    calm_seconds: float
    clients: int


@dataclass
class Report:
    """What came of it.

    Attributes:
        plan: what was to be done.
        findings: what is wrong: none, where all is well.
        done: how often all clients have done what.
        traffic: their requests.
        outages: how often what was killed.
        revisions: of the change log.
    """

    plan: Plan
    findings: list[str] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    traffic: Traffic = field(default_factory=Traffic)
    revisions: int = 0

    @property
    def outages(self) -> Counter[str]:
        """How often what was killed."""
        return Counter(name for outage in self.traffic.outages for name in outage.names)

    def __str__(self) -> str:
        """For whoever reads why a test failed, or how much it has done."""
        shown = self.findings[:_FINDINGS_SHOWN]
        lines = [
            f"{self.plan}",
            f"killed: {dict(self.outages)}",
            f"done: {dict(self.done)}",
            f"answered: {dict(self.traffic.outcomes())}",
            f"{self.revisions} revisions; {len(self.findings)} findings",
            *shown,
        ]
        return "\n".join(lines)


def soak(installation: Installation, plan: Plan) -> Report:
    """Runs a plan on an installation that nobody else uses."""
    report = Report(plan)
    rows = MetaRows(installation.database_url)
    with ExitStack() as stack:
        management = stack.enter_context(closing(Management(installation)))
        projects = [
            management.create_project(),
            management.create_project(public=True),
            management.create_project(storage_limit=_SMALL_QUOTA_BYTES),
        ]
        ledger = Ledger([f"{project}/shared" for project in projects])
        actors = [
            _actor(stack, installation, management, projects, ledger, report, number) for number in range(plan.clients)
        ]
        admin = RegistryClient(
            installation.http_url, management.admin, report.traffic, random.Random(f"{plan.seed} admin")
        )
        stack.enter_context(closing(admin))
        watcher = Watcher(rows)
        chaos = Chaos(installation, rows, report.traffic, random.Random(f"{plan.seed} chaos"))
        work = [actor.work for actor in actors]

        _together(report, plan.storm_seconds, [*work, watcher.watch, chaos.rage])
        if not report.findings:
            report.findings += _in_peace(installation, report, plan, [*work, watcher.watch])
        if not report.findings:
            _each(report, [actor.check_own for actor in actors])
        watcher.look()
        report.findings += watcher.findings
        report.findings += Invariants(rows, installation.data_dir, ledger).findings(admin)
        report.findings += report.traffic.findings()
        report.done = sum((actor.done for actor in actors), Counter())
        report.revisions = watcher.newest
    return report


def _actor(
    stack: ExitStack,
    installation: Installation,
    management: Management,
    projects: Sequence[str],
    ledger: Ledger,
    report: Report,
    number: int,
) -> Actor:
    login = management.create_user()
    for project in projects:
        management.add_member(project, login, PROJECT_ADMIN)
    own = [OwnRepository(f"{project}/own-{number}/app") for project in projects]
    ledger.own |= {repository.name: repository for repository in own}
    chance = random.Random(f"{report.plan.seed} client {number}")
    client = stack.enter_context(closing(RegistryClient(installation.http_url, login, report.traffic, chance)))
    return Actor(client, ledger, own, Shelf.filled(report.plan.seed), chance)


def _in_peace(
    installation: Installation, report: Report, plan: Plan, tasks: Sequence[Callable[[threading.Event], None]]
) -> Iterator[str]:
    """Works on, and tells what has grown meanwhile; nobody asks anything while it is measured."""
    _together(report, plan.calm_seconds * _WARM_SHARE, tasks)
    before: Mapping[str, Holding] = holdings(installation)
    _together(report, plan.calm_seconds * (1 - _WARM_SHARE), tasks)
    yield from growth(
        before, holdings(installation), descriptors=_MORE_DESCRIPTORS, resident_bytes=_MORE_RESIDENT_BYTES
    )


def _together(report: Report, seconds: float, tasks: Sequence[Callable[[threading.Event], None]]) -> None:
    """Runs tasks for so long, or until the first has found something."""
    until = threading.Event()
    with ThreadPoolExecutor(len(tasks), thread_name_prefix="soak") as pool:
        running = [pool.submit(task, until) for task in tasks]
        try:
            wait(running, timeout=seconds, return_when=FIRST_EXCEPTION)
        finally:
            until.set()
    _collect(report, running)


def _each(report: Report, checks: Sequence[Callable[[], None]]) -> None:
    with ThreadPoolExecutor(len(checks), thread_name_prefix="soak") as pool:
        running = [pool.submit(check) for check in checks]
    _collect(report, running)


def _collect(report: Report, running: "Sequence[Future[None]]") -> None:
    report.findings += [repr(error) for future in running if (error := future.exception()) is not None]
