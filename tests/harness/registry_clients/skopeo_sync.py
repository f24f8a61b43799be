"""`skopeo sync`, which copies whole repositories between registries and folders."""

import shutil
from typing import ClassVar

from tests.harness.images import Image, digest_of, write_dir_layout
from tests.harness.registry_clients.port import Outcome
from tests.harness.registry_clients.skopeo import Skopeo


class SkopeoSync(Skopeo):
    """It names a repository in the target by the last part of the source: a folder by its name."""

    name: ClassVar = "skopeo sync"
    push_lines: ClassVar = (
        'skopeo sync --insecure-policy --dest-tls-verify=false --src dir --dest docker image "$REGISTRY/$PROJECT"',
    )
    pull_lines: ClassVar = (
        'skopeo sync --insecure-policy --src-tls-verify=false --src docker --dest dir "$IMAGE" pulled',
    )

    def push(self, pushed: Image, image: str) -> Outcome:
        _, project, named = image.split("/")
        # It pushes all that is there.
        shutil.rmtree(self.folder / "image", ignore_errors=True)
        write_dir_layout(self.folder / "image" / named, pushed)
        outcome = self._run(*self.push_lines, PROJECT=project)
        return self._with_digest(outcome, pushed.digest)

    def pull(self, image: str) -> Outcome:
        # It writes over nothing.
        shutil.rmtree(self.folder / "pulled", ignore_errors=True)
        outcome = self._run(*self.pull_lines, IMAGE=image)
        manifest = self.folder / "pulled" / image.rpartition("/")[2] / "manifest.json"
        return self._with_digest(outcome, digest_of(manifest.read_bytes()) if outcome.succeeded else "")
