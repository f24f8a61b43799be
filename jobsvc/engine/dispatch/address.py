"""Where Redis or Valkey is: the setting `redis_url`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from svckit.errors.start import StartError

_PORT = 6379
_SENTINEL_PORT = 26379
_LAST_DATABASE = 65535
_FILES = frozenset({"ca_file", "certificate_file", "key_file"})
_SENTINEL_LOGIN = frozenset({"sentinel_username", "sentinel_password"})
_FORMS = (
    "redis://HOST:PORT/DATABASE, rediss://HOST:PORT/DATABASE (TLS), unix:///PATH, "
    "redis+sentinel://HOST:PORT,HOST:PORT/SERVICE or rediss+sentinel://…, each with USER:PASSWORD@ if it needs them"
)


class RedisUrlError(StartError):
    """The setting `redis_url` is wrong. The text says why, and does not quote the URL, which may have a password."""

    def __init__(self, why: str) -> None:
        """Takes what is wrong."""
        super().__init__(f"jobsvc.redis_url: the value (hidden) is refused: {why}; allowed: {_FORMS}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisAddress:
    """Where Redis or Valkey is.

    Attributes:
        hosts: host and port of the server, or of each sentinel; empty for a unix socket.
        path: the unix socket; empty for TCP.
        service: the name by which sentinels know the server; empty without sentinels.
        database: the number of the database.
        username: empty for the default user.
        password: empty for none.
        sentinel_username: as `username`, for the sentinels.
        sentinel_password: as `password`, for the sentinels.
        is_tls: whether connections use TLS.
        ca_file: the certificates that sign the server's; empty for those of the machine.
        certificate_file: our own certificate; empty for none.
        key_file: the key of our own certificate; empty if it is in the same file.
    """

    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    service: str = ""
    database: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    sentinel_username: str = ""
    sentinel_password: str = field(default="", repr=False)
    is_tls: bool = False
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""

    @classmethod
    def parse(cls, url: str) -> RedisAddress:
        """Reads a URL.

        Raises:
            RedisUrlError: it has none of the forms.
        """
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise RedisUrlError(str(error)) from None
        scheme, _, more = parts.scheme.partition("+")
        if scheme not in ("redis", "rediss", "unix") or more not in ("", "sentinel") or (scheme == "unix" and more):
            raise RedisUrlError("it begins with none of the known schemes")
        is_tls, has_sentinels = scheme == "rediss", bool(more)
        login, _, places = parts.netloc.rpartition("@")
        username, _, password = login.partition(":")
        given: dict[str, Any] = {"username": unquote(username), "password": unquote(password)}
        given |= _options(parts.query, (_FILES if is_tls else frozenset()) | (_SENTINEL_LOGIN if more else frozenset()))
        if scheme == "unix":
            if places or not parts.path.startswith("/"):
                raise RedisUrlError("a unix socket has three slashes before its path, and no host")
            return cls(path=unquote(parts.path), **given)
        hosts = tuple(_host(place, _SENTINEL_PORT if has_sentinels else _PORT) for place in places.split(","))
        if not has_sentinels:
            if len(hosts) > 1:
                raise RedisUrlError("several hosts need +sentinel in the scheme")
            return cls(hosts=hosts, database=_database(parts.path.lstrip("/")), is_tls=is_tls, **given)
        service, _, database = parts.path.lstrip("/").partition("/")
        if not service:
            raise RedisUrlError("the name of the service is missing after the sentinels")
        return cls(hosts=hosts, service=unquote(service), database=_database(database), is_tls=is_tls, **given)

    def __str__(self) -> str:
        """For logs: without credentials."""
        where = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        scheme = "rediss" if self.is_tls else "redis"
        if self.path:
            return f"unix://{self.path}"
        return f"{scheme}+sentinel://{where}/{self.service}" if self.service else f"{scheme}://{where}/{self.database}"


def _options(query: str, allowed: frozenset[str]) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := sorted(options.keys() - allowed):
        # The name only: the value may be a secret.
        raise RedisUrlError(f"it has no option {unknown[0][:40]!a}")
    return options


def _host(place: str, port: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{place}")
        found = parts.port
    except ValueError:
        raise RedisUrlError("a port is not a number from 1 to 65535") from None
    if not parts.hostname or found == 0:
        raise RedisUrlError("a host or a port is missing")
    return parts.hostname, port if found is None else found


def _database(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()) or int(text) > _LAST_DATABASE:
        raise RedisUrlError("the database is not a number")
    return int(text)
