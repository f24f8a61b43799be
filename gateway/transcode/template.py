"""Path templates of `google.api.http`: literals and variables, one segment each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from gateway.transcode.fields import ContractError

_LITERAL = re.compile(r"[A-Za-z0-9._~-]+")
_VARIABLE = re.compile(r"\{([a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*)(?:=\*)?\}")


@dataclass(frozen=True, slots=True)
class Variable:
    """A segment that fills a field.

    Attributes:
        field_path: of the request, such as "project.name".
    """

    field_path: str


@dataclass(frozen=True, slots=True)
class PathTemplate:
    """A path that an RPC is served at.

    Attributes:
        segments: literals (text) and variables, in order.
    """

    segments: tuple[str | Variable, ...]

    @classmethod
    def parse(cls, text: str) -> PathTemplate:
        """Reads a template.

        Of the grammar in google/api/http.proto, what REST under /api/v2.0 needs: no `**`, no variable of several
        segments, and no verb, so that the colon of `sha256:…` is never taken for one.

        Raises:
            ContractError: it is something else.
        """
        if not text.startswith("/"):
            raise ContractError(f"{text}: a path begins with /")
        segments: list[str | Variable] = []
        for segment in text[1:].split("/"):
            variable = _VARIABLE.fullmatch(segment)
            if variable is not None:
                segments.append(Variable(variable[1]))
            elif _LITERAL.fullmatch(segment):
                segments.append(segment)
            else:
                raise ContractError(f"{text}: {segment or 'an empty segment'} is neither a literal nor {{a.field}}")
        return cls(tuple(segments))

    @property
    def variables(self) -> tuple[str, ...]:
        """The field paths of its variables, in order."""
        return tuple(segment.field_path for segment in self.segments if isinstance(segment, Variable))

    def render(self, names: Mapping[str, str]) -> str:
        """The path with its variables called by other names, such as `{project_name_or_id}`; for people."""
        return "".join(
            f"/{{{names[segment.field_path]}}}" if isinstance(segment, Variable) else f"/{segment}"
            for segment in self.segments
        )


def fill(segments: Sequence[str | Variable], values: Sequence[str]) -> str:
    """Writes a path: the values stand for the variables, in order.

    A value with a slash is encoded twice, as Harbor's clients encode repository names: a proxy that decodes once on its
    way still leaves one segment.
    """
    rest = iter(values)
    parts: list[str] = []
    for segment in segments:
        if isinstance(segment, Variable):
            value = quote(next(rest), safe=":@+,;=$!*'()")
            parts.append(value.replace("%2F", "%252F"))
        else:
            parts.append(segment)
    return "/" + "/".join(parts)
