"""Imports that do without an optional module which happens to be installed."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType


@contextmanager
def absent(name: str) -> Iterator[None]:
    """Inside the block, `import <name>` raises ImportError."""
    modules = cast("dict[str, ModuleType | None]", sys.modules)
    before = modules.pop(name, None)
    modules[name] = None
    try:
        yield
    finally:
        del modules[name]
        if before is not None:
            modules[name] = before
