"""deploy/roadstead.toml is what the services read."""

import subprocess
import sys
from pathlib import Path

import pytest

from ctl.service import settings_class
from svckit.services import SERVICES

ROOT = Path(__file__).parents[3]


def test_it_lists_every_setting_with_the_text_in_the_code() -> None:
    program = ROOT / "scripts" / "annotate_settings.py"

    result = subprocess.run([sys.executable, program, "--check"], capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_that_reads_it_has_its_defaults(service: str) -> None:
    settings = settings_class(service)

    assert settings.load(ROOT / "deploy" / "roadstead.toml", service) == settings()
