"""podman, buildah and skopeo with a store and a policy of their own, so that nothing of the machine's counts."""

import os
from pathlib import Path

import pytest

from tests.harness.programs import Client

# cgroupfs needs no systemd.
_STORAGE = """\
[storage]
driver = "{driver}"
graphroot = "{folder}/images"
runroot = "{folder}/run"
"""
_PARTIAL = """\
[storage.options]
pull_options = {enable_partial_images = "true", use_hard_links = "false", ostree_repos = ""}
"""
_ENGINE = """\
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
"""
_POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}'


def containers_client(name: str, home: Path, *, pulls_parts: bool = False) -> Client:
    """One of these programs, with an empty store in its HOME; the test is skipped without root.

    Args:
        name: of the program.
        home: its HOME, made here. Two programs with the same HOME share images and logins.
        pulls_parts: whether it pulls only those files of a layer of zstd:chunked that it lacks. This needs a file
            system that overlayfs can lie upon.
    """
    if os.geteuid() != 0 and name != "skopeo":
        pytest.skip(f"{name} needs root: run `make test` as root")
    settings = home / ".config" / "containers"
    settings.mkdir(parents=True, exist_ok=True)
    (settings / "policy.json").write_text(_POLICY)
    # vfs needs no file system of a certain kind.
    storage = _STORAGE.format(folder=home, driver="overlay" if pulls_parts else "vfs")
    (settings / "storage.conf").write_text(storage + (_PARTIAL if pulls_parts else ""))
    (settings / "containers.conf").write_text(_ENGINE)
    variables = {
        "CONTAINERS_STORAGE_CONF": str(settings / "storage.conf"),
        "CONTAINERS_CONF": str(settings / "containers.conf"),
        "XDG_RUNTIME_DIR": str(home),
        "BUILDAH_ISOLATION": "chroot",
    }
    return Client(name, home, variables=variables)
