"""Optional modules that a process does without."""

import subprocess
import sys

import pytest

from svckit.absent import absent


def test_a_module_is_absent_in_the_block_only() -> None:
    with absent("graphlib"), pytest.raises(ImportError):
        import graphlib
    import graphlib

    assert list(graphlib.TopologicalSorter({1: [0]}).static_order()) == [0, 1]


def test_a_loaded_module_comes_back_as_it_was() -> None:
    import json

    with absent("json"), pytest.raises(ImportError):
        __import__("json")
    assert sys.modules["json"] is json


def test_a_service_does_not_load_rich() -> None:
    program = "import sys, svckit.logging; sys.exit(sorted({'rich', 'pygments'} & set(sys.modules)) or None)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.stderr.strip() == ""
