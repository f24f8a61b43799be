"""A soak: clients at work, first while services are killed, then without kills; everything is checked at the end."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

from tests.harness.installation import Installation
from tests.harness.meta_rows import MetaRows
from tests.harness.soak.actor import Actor, Shelf
from tests.harness.soak.chaos import Chaos
from tests.harness.soak.client import RegistryClient
from tests.harness.soak.invariants import Invariants
from tests.harness.soak.ledger import Ledger, OwnRepository
from tests.harness.soak.resources import growth, holdings
from tests.harness.soak.traffic import Traffic
from tests.harness.soak.watcher import Watcher
from tests.harness.workspace import PROJECT_ADMIN, Management

Task = Callable[[threading.Event], object]
"""Goes on until the event is set."""

_SMALL_QUOTA_BYTES = 3_000_000
_FINDINGS_SHOWN = 40
# Caches and pools are full by then.
_WARM_SHARE = 0.4
_MORE_DESCRIPTORS = 24
_MORE_RESIDENT_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True)
class Plan:
    """The length and the load of a run.

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
    """The result of a run.

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
    traffic: Traffic = field(default_factory=Traffic, repr=False)
    revisions: int = 0

    @property
    def outages(self) -> Counter[str]:
        """How often what was killed."""
        return Counter(name for outage in self.traffic.outages for name in outage.names)

    def attempt(self, work: Callable[[], object]) -> bool:
        """Runs an action and records its exception as a finding. Returns whether there was none."""
        try:
            work()
        except Exception as error:
            self.findings.append(f"{type(error).__name__}: {error}")
            return False
        return True

    def __str__(self) -> str:
        """The text for the report of the test."""
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
        management = stack.enter_context(closing(Management.of(installation)))
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
        invariants = Invariants(rows, installation.data_dir, ledger)

        _together(report, plan.storm_seconds, [*work, watcher.watch], chaos.rage)
        if not report.findings:
            report.findings += _in_peace(installation, report, plan, [*work, watcher.watch])
        if not report.findings:
            for actor in actors:
                report.attempt(actor.check_own)
        report.attempt(watcher.look)
        report.findings += watcher.findings
        report.attempt(lambda: report.findings.extend(invariants.findings(admin)))
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


def _in_peace(installation: Installation, report: Report, plan: Plan, tasks: Sequence[Task]) -> Iterator[str]:
    """Goes on working, and returns what has grown meanwhile. No requests are sent during the measurements."""
    _together(report, plan.calm_seconds * _WARM_SHARE, tasks)
    before = holdings(installation)
    _together(report, plan.calm_seconds * (1 - _WARM_SHARE), tasks)
    yield from growth(
        before, holdings(installation), descriptors=_MORE_DESCRIPTORS, resident_bytes=_MORE_RESIDENT_BYTES
    )


def _together(report: Report, seconds: float, tasks: Sequence[Task], in_this_thread: Task | None = None) -> None:
    """Runs tasks for this time, or until one has a finding.

    The kernel ends what a thread has started when the thread ends, where it is to end with its parent: what starts an
    installation again has to stay in the thread of the test.
    """
    until = threading.Event()

    def noted(task: Task) -> None:
        if not report.attempt(lambda: task(until)):
            until.set()

    timer = threading.Timer(seconds, until.set)
    with ThreadPoolExecutor(len(tasks), thread_name_prefix="soak") as pool:
        timer.start()
        for task in tasks:
            pool.submit(noted, task)
        noted(in_this_thread or threading.Event.wait)
        timer.cancel()
    timer.join()
