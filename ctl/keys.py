"""`roadstead admin keys`: lists, rotates and revokes the keys with which services sign tokens."""

import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TypedDict

from ctl.admin.command import Column
from ctl.admin.output import print_table
from ctl.errors import CommandError
from ctl.key_places import KeyPlaces
from ctl.rotation import ServiceKeys, shown_time
from svckit.errors.start import StartError
from svckit.key_set import KeySet, KeyState, PublishedKey
from svckit.process.signing_key import LOOK_EVERY_SECONDS
from svckit.tokens import (
    ActingToken,
    Claims,
    Finding,
    Grant,
    IdentityToken,
    Receipt,
    RegistryToken,
    ServiceToken,
    UploadTicket,
)
from svckit.tokens.retention import kinds_of

# A service has looked at its key file, and loaded it.
_TAKE_UP_SECONDS = LOOK_EVERY_SECONDS + 1.0

_BROKEN_BY_REVOCATION: dict[type[Claims], str] = {
    RegistryToken: "registry tokens: clients log in again, and a push that goes on begins again",
    IdentityToken: "identity tokens: platforms ask for another one",
    UploadTicket: "upload tickets: unfinished uploads begin again",
    Receipt: "receipts: blobs that were uploaded and are in no manifest yet are uploaded again",
    Grant: "grants: a download that is just beginning is asked for again",
    Finding: "findings: damaged blobs are found again by the next read",
    ServiceToken: "service tokens: calls between services, for a moment",
    ActingToken: "acting tokens: calls of the service for itself, for a moment",
}


_COLUMNS = (
    Column("SERVICE", "service"),
    Column("KEY", "kid"),
    Column("STATE", "state"),
    Column("SINCE", "since"),
    Column("UNTIL", "until"),
)


class Row(TypedDict):
    """A line of the list. Times are in UTC; None where there is none."""

    service: str
    kid: str
    state: KeyState
    since: str | None
    until: str | None


def list_keys(places: KeyPlaces, *, as_json: bool) -> int:
    """Prints the keys of all services: which signs, which will, which only verifies, since when and until when.

    Raises:
        CommandError: there are none, or a file cannot be read.
    """
    with _readable_errors():
        rows = list(_rows(places))
    if not rows:
        raise CommandError(f"there are no keys in {places.trust_folder}; the first start of a service makes them")
    if as_json:
        print(json.dumps(rows, indent=2))
        return 0
    print_table(rows, _COLUMNS)
    return 0


def prepare(places: KeyPlaces, services: Sequence[str]) -> int:
    """Makes the next keys, and publishes their public halves. Nobody signs with them yet.

    Raises:
        CommandError: it cannot be done.
    """
    with _readable_errors(), places.locked():
        chosen = _chosen(places, services)
        for keys in chosen:
            _prepare(keys)
    files = ", ".join(f"{keys.service}.jwks.json" for keys in chosen)
    print(f"now copy {files} to machines with a copy of {places.trust_folder}; then `roadstead admin keys activate`")
    return 0


def activate(places: KeyPlaces, services: Sequence[str]) -> int:
    """Lets services sign with the keys that were prepared.

    Raises:
        CommandError: no key was prepared, or too short a time ago.
    """
    with _readable_errors(), places.locked():
        chosen = _chosen(places, services)
        for keys in chosen:
            _settle(keys)
        if not services:
            chosen = [keys for keys in chosen if keys.prepared() is not None]
        if not chosen:
            raise CommandError("no key is prepared; `roadstead admin keys prepare` makes them")
        for keys in chosen:
            _activate(keys)
    return 0


def rotate(places: KeyPlaces, services: Sequence[str]) -> int:
    """Gives services new keys: prepares them, waits until everybody knows them, activates them.

    Raises:
        CommandError: it cannot be done.
    """
    with _readable_errors(), places.locked():
        chosen = _chosen(places, services)
        prepared = [(keys, _prepare(keys)) for keys in chosen]
        announced = False
        while seconds := max(keys.wait_seconds(key) for keys, key in prepared):
            if not announced:
                print(f"waiting {math.ceil(seconds)} s until every process knows the new public keys", file=sys.stderr)
                announced = True
            time.sleep(seconds)
        for keys in chosen:
            _activate(keys)
    return 0


def prune(places: KeyPlaces) -> int:
    """Removes the public keys whose tokens have all expired. No process trusts them any more.

    Raises:
        CommandError: it cannot be done.
    """
    with _readable_errors(), places.locked():
        for service in places.trust().services():
            if service in places.files and (keys := places.of(service)).is_here:
                _settle(keys)
            _remove_ended(places, service)
    return 0


def revoke(places: KeyPlaces, kid: str) -> int:
    """Cuts a key off: what it signed is refused within seconds. A key that signs is replaced first.

    Raises:
        CommandError: there is no such key, or it signs on another machine.
    """
    with _readable_errors(), places.locked():
        trust = places.trust()
        for service in trust.services():
            keys = trust.key_set(service)
            if kid in keys.revoked:
                print(f"{service}: {kid} was revoked at {shown_time(keys.revoked[kid])}")
                return 0
            if kid in keys.keys:
                _revoke(places, service, kid, keys)
                return 0
    raise CommandError(f"no service has the key {kid}; `roadstead admin keys list` shows them")


def _revoke(places: KeyPlaces, service: str, kid: str, published: KeySet) -> None:
    if service in places.files and (own := places.of(service)).is_here:
        signs, following = kid == own.signing(), own.prepared()
        is_prepared = following is not None and kid == following.kid
        if following is not None and (signs or is_prepared):
            # Who could read the key file could read this one as well.
            _cut_off(places, service, following.kid)
            print(f"{service}: {following.kid} is revoked; it was prepared, and has signed nothing")
        if signs or is_prepared:
            # Last, because a command that is killed before it is repeated, and must find the file. A key that was made
            # and is not published yet goes, too: otherwise it would be the one that takes the place.
            own.drop_next()
        if is_prepared:
            return
        if signs:
            _replace_at_once(places, own)
    elif kid == published.signing():
        raise CommandError(
            f"{service} signs with {kid}, and its key file is not on this machine; run the command where it is, "
            f"so that {service} gets another key first"
        )
    _cut_off(places, service, kid)
    print(f"{service}: {kid} is revoked; within 5 s every process refuses what it signed:")
    for kind in kinds_of(service):
        print(f"  {_BROKEN_BY_REVOCATION[kind]}")


def _cut_off(places: KeyPlaces, service: str, kid: str) -> None:
    places.trust().change(service, lambda keys: keys.with_revoked(kid, int(time.time())))


def _replace_at_once(places: KeyPlaces, keys: ServiceKeys) -> None:
    """Activates another key without the overlap, and waits until the service on this machine has taken it up."""
    hurried = replace(keys, overlap_seconds=0.0)
    _prepare(hurried)
    hurried.activate()
    print(f"{keys.service}: signs with {keys.signing()}")
    if places.is_running:
        time.sleep(_TAKE_UP_SECONDS)


def _prepare(keys: ServiceKeys) -> PublishedKey:
    key = keys.prepare()
    print(f"{keys.service}: {key.kid} is prepared")
    return key


def _activate(keys: ServiceKeys) -> None:
    before = keys.published()
    after = keys.activate()
    print(f"{keys.service}: signs with {keys.signing()}")
    for kid, key in after.keys.items():
        if key.end_time is not None and (kid not in before.keys or before.keys[kid].end_time is None):
            print(f"{keys.service}: {kid} verifies until {shown_time(key.end_time)}")


def _settle(keys: ServiceKeys) -> None:
    if keys.settle():
        print(f"{keys.service}: signs with {keys.signing()}; what an interrupted command had left is done")


def _remove_ended(places: KeyPlaces, service: str) -> None:
    trust = places.trust()
    before = trust.key_set(service)
    after = trust.change(service, lambda keys: keys.without_ended(time.time()))
    for kid in before.keys.keys() - after.keys.keys():
        print(f"{service}: {kid} is removed")


def _chosen(places: KeyPlaces, services: Sequence[str]) -> list[ServiceKeys]:
    if not services:
        return places.here()
    chosen = [places.of(service) for service in dict.fromkeys(services)]
    for keys in chosen:
        if not keys.is_here:
            raise CommandError(
                f"the key file of {keys.service}, {keys.file}, is not on this machine; run the command where it is"
            )
    return chosen


def _rows(places: KeyPlaces) -> Iterator[Row]:
    trust, now = places.trust(), time.time()
    for service in trust.services():
        keys = trust.key_set(service)
        signing = _signing_here(places, service, keys)
        for kid, key in keys.keys.items():
            since = key.made_time if key.is_next else key.signing_time
            yield _row(service, kid, keys.state(kid, now, signing=signing), since, key.end_time)
        for kid, revoked_time in keys.revoked.items():
            yield _row(service, kid, "revoked", revoked_time, None)


def _row(service: str, kid: str, state: KeyState, since: int | None, until: int | None) -> Row:
    return Row(
        service=service,
        kid=kid,
        state=state,
        since=None if since is None else shown_time(since),
        until=None if until is None else shown_time(until),
    )


def _signing_here(places: KeyPlaces, service: str, keys: KeySet) -> str | None:
    """The key in the key file of a service, if this user can read it and the bundle names no newer one."""
    if service not in places.files:
        return None
    try:
        kid = places.of(service).signing()
    except StartError:
        return None
    return kid if keys.newer_than(kid) is None else None


@contextmanager
def _readable_errors() -> Iterator[None]:
    """Prints what is wrong with a file without a traceback."""
    try:
        yield
    except StartError as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        raise CommandError(f"cannot change the keys:{where} {error.strerror}") from error
