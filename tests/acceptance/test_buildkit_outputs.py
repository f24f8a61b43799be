"""The recorded outputs of BuildKit are those of the BuildKit that is installed.

They are recorded by

    RECORD_ANSWERS=1 pytest -m acceptance tests/acceptance/test_buildkit_outputs.py
"""

import os
from pathlib import Path

import pytest

from tests.harness.buildkit import Builder, buildkitd
from tests.harness.buildkit_outputs import Registry
from tests.harness.recorded_buildkit import record_outputs, recorded_outputs, shape_of
from tests.harness.workspace import Workspace

pytestmark = pytest.mark.acceptance


def test_the_recorded_outputs_are_what_this_buildkit_pushes(workspace: Workspace, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "file").write_text("copied\n")
    (context / "Dockerfile").write_text("FROM scratch\nCOPY file /file\n")
    name = f"{workspace.host}/{workspace.project}/recorded"
    with buildkitd(tmp_path / "machine") as daemon:
        builder = Builder(daemon, tmp_path / "home")
        builder.log_in(workspace.host, workspace.maintainer)
        for tag, is_manifest in {"cache-manifest": "true", "cache-index": "false"}.items():
            cache = f"type=registry,ref={name}:{tag},mode=max,image-manifest={is_manifest}"
            builder.build(context, f"{name}:app", f"--export-cache={cache}")
        for tag, is_artifact in {"provenance-artifact": "true", "provenance-image": "false"}.items():
            output = f"oci-artifact={is_artifact}"
            builder.build(context, f"{name}:{tag}", "--opt=attest:provenance=mode=max", output=output)
    registry = Registry(workspace, workspace.maintainer)
    tags = ("provenance-artifact", "provenance-image", "cache-manifest", "cache-index")
    outputs = {tag: registry.image(f"{workspace.project}/recorded", tag) for tag in tags}

    if os.environ.get("RECORD_ANSWERS") == "1":
        record_outputs(outputs)

    recorded = recorded_outputs()
    assert {tag: shape_of(image) for tag, image in outputs.items()} == {
        tag: shape_of(image) for tag, image in recorded.items()
    }
