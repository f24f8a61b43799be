"""Writes deploy/roadstead.toml: every setting of every service, with its default and the text beside it in the code.

python scripts/annotate_settings.py            # writes it
python scripts/annotate_settings.py --check    # fails if it does not match the code
"""

import ast
import inspect
import json
import sys
import textwrap
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from ctl.service import settings_class
from svckit.services import SERVICES
from svckit.settings import ServiceSettings

FILE = Path(__file__).resolve().parent.parent / "deploy" / "roadstead.toml"
WIDTH = 118

_HEADER = """\
Every setting of every service, with its default. Copy what you change.

`roadstead serve SERVICE --config FILE` reads the section of the service, and [common]. The section of the service is
the stronger one. Variables are stronger than the file: ROADSTEAD_<SERVICE>_<SETTING>, with __ for each further level,
such as ROADSTEAD_METASVC_DATABASE_URL or ROADSTEAD_COMMON_ADDRESSES__METASVC. `roadstead up` writes its own file, so
only variables change its settings. Put secrets into variables, or into a file that other users cannot read.

Written by `make settings` from the texts beside the settings in <service>/config.py."""


def annotated() -> str:
    """The text of the file."""
    text = "What every service has, and what services must agree on."
    lines = [*_comment(_HEADER, wrap=False), *_section("common", text, ServiceSettings())]
    common = frozenset(ServiceSettings.model_fields)
    for service in SERVICES.values():
        lines += _section(service.name, "", settings_class(service.name)(), without=common)
    return "\n".join(lines) + "\n"


def _section(name: str, text: str, settings: BaseModel, without: frozenset[str] = frozenset()) -> Iterator[str]:
    texts = _texts(type(settings))
    yield ""
    yield from _comment(text)
    yield f"[{name}]"
    nested: dict[str, BaseModel | Mapping[str, Any]] = {}
    for field in type(settings).model_fields:
        value = getattr(settings, field)
        if field in without:
            continue
        if isinstance(value, BaseModel | Mapping):
            nested[field] = value
            continue
        yield from _comment(texts[field])
        yield f"{field} = {_toml(value)}" if value is not None else f'# {field} = "…"'
    for field, inner in nested.items():
        if isinstance(inner, BaseModel):
            yield from _section(f"{name}.{field}", texts[field], inner)
        else:
            yield ""
            yield from _comment(texts[field])
            yield f"[{name}.{field}]"
            yield from (f"{key} = {_toml(value)}" for key, value in inner.items())


def _texts(cls: type[BaseModel]) -> dict[str, str]:
    """The text below each field, of the class and of those it is made from."""
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not issubclass(base, BaseModel) or base.__module__.startswith("pydantic"):
            continue
        definition = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        body = getattr(definition, "body", [])
        for field, below in pairwise(body):
            match field, below:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    texts[name] = inspect.cleandoc(text)
    return texts


def _comment(text: str, *, wrap: bool = True) -> list[str]:
    if not text:
        return []
    lines = textwrap.wrap(" ".join(text.split()), width=WIDTH - 2) if wrap else text.splitlines()
    return [f"# {line}".rstrip() for line in lines]


def _toml(value: Any) -> str:
    match value:
        case SecretStr():
            return _toml(value.get_secret_value())
        case tuple() | list() | frozenset():
            return "[" + ", ".join(_toml(item) for item in value) + "]"
        case Path():
            return _toml(str(value))
        case _:
            return json.dumps(value, ensure_ascii=False)


def main() -> int:
    """Writes or checks. Returns the exit code."""
    text = annotated()
    if sys.argv[1:] == ["--check"]:
        if FILE.read_text(encoding="utf-8") != text:
            print(f"{FILE.name} does not match the code; run `make settings`", file=sys.stderr)
            return 1
        return 0
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
