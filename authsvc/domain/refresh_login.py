"""Logs users and robots in with a refresh token."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias

from authsvc.domain.caller import identify
from authsvc.domain.model import Caller
from svckit.errors import DomainError, Unauthenticated
from svckit.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from authsvc.domain.attempts import Attempts
    from authsvc.domain.hashing import VerifiedSecrets
    from authsvc.domain.model import RefreshToken
    from authsvc.domain.ports import Clock
    from authsvc.domain.refresh_token_text import RefreshTokenTexts
    from authsvc.domain.rows import Store

_log = get_logger(__name__)

Refusal: TypeAlias = Literal["unknown", "expired", "service", "client", "account", "credential", "switched_off"]
"""Why a token was refused, for logs. Clients always get the same answer."""

_MAXIMUM_CHARACTERS = 1024
# A use is written this often, because most exchanges should write nothing. The end of a token moves as seldom.
_USE_WRITTEN_EVERY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class RefreshTokenRules:
    """Settings of refresh tokens.

    Attributes:
        service: the name of the token service. A token is for one service.
        days: how long a token lives after its last use; 0: none are given or taken.
        shared_by: the clients that share their log-ins. A token of one of them is good for all of them. The token of
            any other client is good for that client only.
    """

    service: str
    days: int
    shared_by: frozenset[str]

    @property
    def lifetime(self) -> timedelta:
        """How long a token lives after its last use."""
        return timedelta(days=self.days)

    def may_use(self, client_id: str, token: RefreshToken) -> bool:
        """Whether the client of this name may use the token."""
        return client_id == token.client_id or {client_id, token.client_id} <= self.shared_by


@dataclass(frozen=True, slots=True)
class PresentedToken:
    """A refresh token, and the client that presents it."""

    text: str = field(repr=False)
    client_id: str


class RefreshLogin:
    """Logs users and robots in with refresh tokens. All refusals are the same to the client."""

    def __init__(
        self,
        store: Store,
        texts: RefreshTokenTexts,
        attempts: Attempts,
        verified: VerifiedSecrets,
        clock: Clock,
        rules: RefreshTokenRules,
        observe: Callable[[Literal["used", "refused"]], None],
    ) -> None:
        """Takes its ports.

        Args:
            store: holds the tokens and their holders.
            texts: hashes the texts of tokens.
            attempts: slows down clients that fail, together with those that fail with passwords.
            verified: tokens that were good a short time ago.
            clock: the time.
            rules: settings.
            observe: called with the result of each log-in.
        """
        self._store = store
        self._texts = texts
        self._attempts = attempts
        self._verified = verified
        self._clock = clock
        self._rules = rules
        self._observe = observe

    async def log_in(self, presented: PresentedToken, address: str) -> Caller:
        """Who holds this token, and may log in now.

        Raises:
            DomainError: UNAUTHORIZED, perhaps after a delay; TOOMANYREQUESTS.
        """
        text = presented.text if len(presented.text) <= _MAXIMUM_CHARACTERS else ""
        token_hash = self._texts.hash(text)
        # Each token is a name of its own. So the failures of one do not delay another one at the same address, unless
        # they are many.
        name = f"refresh token {token_hash}"
        async with self._admitted(name, token_hash, address):
            token, found = await self._check(token_hash, presented.client_id)
        if token is None or not isinstance(found, Caller):
            self._observe("refused")
            _log.info(
                "refresh_token_refused",
                reason=found,
                refresh_token_id=token and token.id,
                subject=token and f"{token.holder.kind}:{token.holder.id}",
                client_id=presented.client_id,
                address=address,
            )
            await self._attempts.failed(name, address)
            raise Unauthenticated(message="the refresh token is not valid; log in again")
        self._attempts.succeeded(name, address)
        self._verified.remember("", token_hash, "")
        self._observe("used")
        await self._note_use(token, address)
        return found

    @asynccontextmanager
    async def _admitted(self, name: str, token_hash: str, address: str) -> AsyncIterator[None]:
        # A token that was good a moment ago is no guess, so its client does not wait for others at its address.
        if self._verified.knows("", token_hash, ""):
            yield
            return
        async with self._attempts.admit(name, address):
            yield

    async def _check(self, token_hash: str, client_id: str) -> tuple[RefreshToken | None, Caller | Refusal]:
        now = self._clock()
        async with self._store.read(short=True) as unit:
            token = await unit.refresh_tokens.by_hash(token_hash)
            if token is None:
                return None, "unknown"
            refusal = self._refusal(token, client_id)
            if refusal is not None:
                return token, refusal
            if token.expire_time <= now:
                return token, "expired"
            try:
                holder = await identify(unit, token.holder, now)
            except Unauthenticated:
                return token, "account"
        if holder.credential_version != token.credential_version:
            return token, "credential"
        return token, replace(holder, refresh_token_id=token.id)

    def _refusal(self, token: RefreshToken, client_id: str) -> Refusal | None:
        if not self._rules.days:
            return "switched_off"
        if token.service != self._rules.service:
            return "service"
        return None if self._rules.may_use(client_id, token) else "client"

    async def _note_use(self, token: RefreshToken, address: str) -> None:
        now = self._clock()
        if now - token.last_use_time < _USE_WRITTEN_EVERY:
            return

        async def work() -> None:
            async with self._store.write() as unit:
                await unit.refresh_tokens.note_use(
                    token.id, address, now, now + self._rules.lifetime, _USE_WRITTEN_EVERY
                )
                await unit.commit()

        try:
            await self._store.repeat(work)
        except DomainError as error:
            # The client may go on. The next use writes it.
            _log.warning("refresh_token_use_not_written", refresh_token_id=token.id, error=str(error))
