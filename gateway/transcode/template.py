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
        field_path: the path of the field in the request, such as "project.name".
    """

    field_path: str


@dataclass(frozen=True, slots=True)
class PathTemplate:
    """The path of an RPC.

    Attributes:
        segments: literals (text) and variables, in order.
    """

    segments: tuple[str | Variable, ...]

    @classmethod
    def parse(cls, text: str) -> PathTemplate:
        """Reads a template.

        Only a part of the grammar in google/api/http.proto is supported: no `**`, no variable of several segments, and
        no verb. Without verbs, the colon in `sha256:…` needs no special rule.

        Raises:
            ContractError: the text is not such a template.
        """
        if not text.startswith("/"):
            raise ContractError(f"{text}: a path must begin with /")
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
        """The field paths of the variables, in order."""
        return tuple(segment.field_path for segment in self.segments if isinstance(segment, Variable))

    def render(self, names: Mapping[str, str]) -> str:
        """The path for documentation, with other names for its variables, such as `{project_name_or_id}`."""
        return "".join(
            f"/{{{names[segment.field_path]}}}" if isinstance(segment, Variable) else f"/{segment}"
            for segment in self.segments
        )


def fill(segments: Sequence[str | Variable], values: Sequence[str]) -> str:
    """Writes a path; the values replace the variables, in order.

    A slash in a value is encoded twice, as Harbor's clients do with repository names. If a proxy decodes the path once,
    the value is still one segment.
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
