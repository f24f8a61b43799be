"""Domains import this package, so it may bring in nothing but the standard library and the JSON reader."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import svckit.oci


def test_the_package_imports_the_standard_library_the_json_reader_and_itself_only() -> None:
    modules = [f"svckit.oci.{module.name}" for module in pkgutil.iter_modules(svckit.oci.__path__)]
    assert "svckit.oci.manifest" in modules
    program = (
        "import importlib, sys\n"
        "before = set(sys.modules)\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "own = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(own - sys.stdlib_module_names))\n"
    )
    answer = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert answer.stdout.split() == ["jiter", "svckit"]
