"""Which registry tokens are refused because their subjects have lost rights since they were signed.

authsvc writes a revocation in the transaction in which somebody loses a right, with the revision of the change. A
registry token says up to which revision its rights were known when they were looked up. So the two are compared without
clocks, and a token that was signed after the loss is never refused by it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from svckit.tokens.claims import RegistryToken
from svckit.tokens.retention import verified_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from svckit.log_position import LogPosition

ANYBODY = "anybody"
"""The subject of a revocation for those who had a right only because the project was public."""

KEPT = timedelta(seconds=verified_seconds(RegistryToken) + 3600)
"""How long a revocation is kept: at least as long as a token may be accepted, and what clocks may differ."""


def refresh_token_subject(refresh_token_id: int) -> str:
    """The subject of a revocation for the registry tokens that were made with a refresh token."""
    return f"refresh_token:{refresh_token_id}"


@dataclass(frozen=True, slots=True)
class Loss:
    """Who has lost rights by a change, and where.

    Attributes:
        subjects: "user:7", "robot:12", `ANYBODY`, or what `refresh_token_subject` gives.
        project_ids: the projects in which they have; empty for everywhere.
    """

    subjects: tuple[str, ...]
    project_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Revocation:
    """A loss that was committed.

    Attributes:
        revision: of the change, in authsvc's log.
        time: when the change was made.
        loss: who has lost rights.
    """

    revision: int
    time: datetime
    loss: Loss


class Revocations:
    """The revocations that a process knows.

    Attributes:
        position: the position in authsvc's log up to which all are known; None before the first ones are.
    """

    def __init__(self) -> None:
        """Knows none. Until the first ones are known, no token is refused."""
        self.position: LogPosition | None = None
        self._in_order: deque[Revocation] = deque()
        self._of_subject: dict[str, list[Revocation]] = {}

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._in_order)

    def behind(self, revision: int) -> list[Revocation]:
        """Those with a higher revision, the oldest first."""
        found: list[Revocation] = []
        for revocation in reversed(self._in_order):
            if revocation.revision <= revision:
                break
            found.append(revocation)
        found.reverse()
        return found

    def merge(
        self, after: LogPosition | None, position: LogPosition, revocations: Iterable[Revocation], now: datetime
    ) -> None:
        """Takes what another process knows, as far as it goes with what is known here.

        Several processes may tell, and one of them may be behind the others. What does not follow the known ones
        without a gap is not taken: the other one must begin anew.

        Args:
            after: the position behind which these are; None if they are all that the other one keeps.
            position: the position behind them.
            revocations: the oldest first.
            now: the present time; what is outdated is dropped.
        """
        known = self.position
        if known is None or known.epoch != position.epoch:
            if after is None:
                self.replace(position, revocations)
        elif after is None or (after.epoch == known.epoch and after.revision <= known.revision):
            self.extend(max(known, position, key=lambda each: each.revision), revocations)
        self.forget_outdated(now)

    def replace(self, position: LogPosition, revocations: Iterable[Revocation]) -> None:
        """Takes these instead of all that were known, because the log is another one now."""
        self._in_order.clear()
        self._of_subject.clear()
        self.position = position
        for revocation in revocations:
            self._add(revocation)

    def extend(self, position: LogPosition, revocations: Iterable[Revocation]) -> None:
        """Takes those that follow the known ones, the oldest first. Those that are known already are passed over."""
        known = self.position.revision if self.position else 0
        self.position = position
        for revocation in revocations:
            if revocation.revision > known:
                self._add(revocation)

    def forget_outdated(self, now: datetime) -> None:
        """Drops those whose tokens have expired."""
        before = now - KEPT
        while self._in_order and self._in_order[0].time < before:
            old = self._in_order.popleft()
            for subject in old.loss.subjects:
                left = [each for each in self._of_subject.get(subject, ()) if each is not old]
                if left:
                    self._of_subject[subject] = left
                else:
                    self._of_subject.pop(subject, None)

    def is_revoked(self, token: RegistryToken) -> bool:
        """Whether the subject of a token has lost a right since the token's rights were looked up.

        A loss in some projects revokes only the tokens that name a repository of one of them. A token that says no
        position, as older releases signed them, is older than every loss.
        """
        position = self.position
        if position is None:
            return False
        as_of = token.as_of
        if as_of is not None and as_of.epoch != position.epoch:
            # The log was restored from a backup. What was lost after the backup is not in it.
            return True
        if not self._in_order:
            return False
        revision = -1 if as_of is None else as_of.revision
        if self._in_order[-1].revision <= revision:
            return False
        return self._has_lost(token, revision)

    def _has_lost(self, token: RegistryToken, revision: int) -> bool:
        project_ids = {entry.project_id for entry in token.access}
        subjects = [token.subject]
        if token.refresh_token_id:
            subjects.append(refresh_token_subject(token.refresh_token_id))
        if any(
            each.revision > revision
            and (not each.loss.project_ids or not project_ids.isdisjoint(each.loss.project_ids))
            for subject in subjects
            for each in self._of_subject.get(subject, ())
        ):
            return True
        public = {entry.project_id for entry in token.access if entry.is_public}
        return bool(public) and any(
            each.revision > revision and not public.isdisjoint(each.loss.project_ids)
            for each in self._of_subject.get(ANYBODY, ())
        )

    def _add(self, revocation: Revocation) -> None:
        self._in_order.append(revocation)
        for subject in revocation.loss.subjects:
            self._of_subject.setdefault(subject, []).append(revocation)
