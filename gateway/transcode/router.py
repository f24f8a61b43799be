"""Finds the route of a path. Literals go before variables; the order in which routes were added does not matter."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from gateway.transcode.fields import ContractError
from gateway.transcode.template import PathTemplate, Variable
from gateway.wire.request import decode_path
from svckit.errors import error_for

T = TypeVar("T")

_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")


class _Node(Generic[T]):
    __slots__ = ("literals", "routes", "variable")

    def __init__(self) -> None:
        self.literals: dict[str, _Node[T]] = {}
        self.variable: _Node[T] | None = None
        self.routes: dict[str, T] = {}


class PathRouter(Generic[T]):
    """A tree of path segments.

    A path is split before it is decoded, so that an encoded slash never ends a segment. Then each variable is decoded,
    and decoded once more if it still contains an escape: Harbor's clients encode repository names twice
    (`library%252Fnginx`), other clients once. This is safe, because no name contains a percent sign.
    """

    def __init__(self) -> None:
        """Starts without routes."""
        self._root: _Node[T] = _Node()

    def add(self, method: str, template: PathTemplate, route: T) -> None:
        """Adds a route.

        Raises:
            ContractError: there is already a route for the same method and paths.
        """
        node = self._root
        for segment in template.segments:
            if isinstance(segment, Variable):
                node.variable = node.variable or _Node()
                node = node.variable
            else:
                node = node.literals.setdefault(segment, _Node())
        if method in node.routes:
            names = {path: path for path in template.variables}
            raise ContractError(f"{method} {template.render(names)} is served twice")
        node.routes[method] = route

    def find(self, method: str, raw_path: str) -> tuple[T, list[str]]:
        """The route of a request and the decoded values of its variables. One slash at the end is ignored.

        If HEAD has no route of its own, the route of GET is used: every resource answers both (RFC 9110 §9.1).

        Raises:
            DomainError: NOT_FOUND; UNSUPPORTED with metadata `allow` if the path has only other methods; BAD_REQUEST if
                the path cannot be decoded.
        """
        raw_segments = raw_path.removeprefix("/").removesuffix("/").split("/")
        segments = [decode_path(segment) if "%" in segment else segment for segment in raw_segments]
        allowed: set[str] = set()
        for node, positions in self._matches(self._root, segments, 0, ()):
            route = node.routes.get(method) or (node.routes.get("GET") if method == "HEAD" else None)
            if route is not None:
                return route, [_decode_again(segments[index]) for index in positions]
            allowed.update(node.routes)
            if "GET" in node.routes:
                allowed.add("HEAD")
        if allowed:
            raise error_for("UNSUPPORTED", metadata={"allow": ", ".join(sorted(allowed))})
        raise error_for("NOT_FOUND")

    def _matches(
        self, node: _Node[T], segments: Sequence[str], depth: int, positions: tuple[int, ...]
    ) -> Iterator[tuple[_Node[T], tuple[int, ...]]]:
        """Every node with routes that matches the path, the most literal first, and the positions of its variables."""
        if depth == len(segments):
            if node.routes:
                yield node, positions
            return
        segment = segments[depth]
        literal = node.literals.get(segment)
        if literal is not None:
            yield from self._matches(literal, segments, depth + 1, positions)
        if node.variable is not None and segment:
            yield from self._matches(node.variable, segments, depth + 1, (*positions, depth))


def _decode_again(text: str) -> str:
    return decode_path(text) if _ESCAPE.search(text) else text
