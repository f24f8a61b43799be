"""Harbor's own description of its API: `swagger.yaml` is `api/v2.0/swagger.yaml` of goharbor/harbor 2.16, unmodified.

Copyright Project Harbor Authors, Apache License 2.0, as this project.
"""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

SWAGGER = Path(__file__).with_name("swagger.yaml")


@cache
def description() -> dict[str, Any]:
    """The description, as YAML has it."""
    loaded: dict[str, Any] = yaml.safe_load(SWAGGER.read_text())
    return loaded
