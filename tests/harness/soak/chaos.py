"""Kills services at random, as crashes do, and lets their supervisor start them again."""

import random
import threading
import time

from svckit.services import SERVICES
from tests.harness.installation import Installation
from tests.harness.meta_rows import MetaRows
from tests.harness.soak.traffic import Outage, Traffic

SUPERVISOR = "the supervisor"
SESSIONS = "the database's sessions"
_PAUSE_SECONDS = (0.5, 3.5)
_SUPERVISOR_SHARE = 0.2
_SESSIONS_SHARE = 0.15
_TWO_SHARE = 0.2


class Chaos:
    """Kills something, waits until everything serves again, and pauses; again and again."""

    def __init__(self, installation: Installation, rows: MetaRows, traffic: Traffic, chance: random.Random) -> None:
        """Takes the installation, the record of its kills, and the source of randomness."""
        self._installation = installation
        self._rows = rows
        self._traffic = traffic
        self._chance = chance

    def rage(self, until: threading.Event) -> None:
        """Kills until the event is set. When it returns, everything serves.

        Raises:
            WaitTimeoutError: something did not come back.
        """
        while not until.wait(self._chance.uniform(*_PAUSE_SECONDS)):
            victims = self._victims()
            outage = Outage(victims, time.monotonic())
            self._traffic.outages.append(outage)
            self._kill(victims)
            outage.ended = time.monotonic()

    def _victims(self) -> list[str]:
        lot = self._chance.random()
        if lot < _SUPERVISOR_SHARE:
            return [SUPERVISOR]
        if lot < _SUPERVISOR_SHARE + _SESSIONS_SHARE and not self._rows.is_sqlite:
            return [SESSIONS]
        return self._chance.sample(tuple(SERVICES), k=2 if self._chance.random() < _TWO_SHARE else 1)

    def _kill(self, victims: list[str]) -> None:
        if victims == [SUPERVISOR]:
            self._installation.kill_supervisor()
            self._installation.start()
        elif victims == [SESSIONS]:
            self._rows.end_sessions()
        else:
            killed = {name: self._installation.kill(name) for name in victims}
            for name, pid in killed.items():
                self._installation.wait_for_new(name, pid)
        self._installation.wait_until_ready()
