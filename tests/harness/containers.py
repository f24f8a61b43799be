"""podman, buildah and skopeo with a store and a policy of their own, so that nothing of the machine's counts."""

import os
from pathlib import Path

import pytest

from tests.harness.programs import Client

# vfs needs no file system of a certain kind; cgroupfs needs no systemd.
_STORAGE = """\
[storage]
driver = "vfs"
graphroot = "{folder}/images"
runroot = "{folder}/run"
"""
_ENGINE = """\
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
"""
_POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}'


def containers_client(name: str, home: Path) -> Client:
    """One of these programs, with an empty store in its HOME; the test is skipped without root.

    Args:
        name: of the program.
        home: its HOME, made here. Two programs with the same HOME share images and logins.
    """
    if os.geteuid() != 0 and name != "skopeo":
        pytest.skip(f"{name} needs root: run `make test` as root")
    settings = home / ".config" / "containers"
    settings.mkdir(parents=True, exist_ok=True)
    (settings / "policy.json").write_text(_POLICY)
    (settings / "storage.conf").write_text(_STORAGE.format(folder=home))
    (settings / "containers.conf").write_text(_ENGINE)
    variables = {
        "CONTAINERS_STORAGE_CONF": str(settings / "storage.conf"),
        "CONTAINERS_CONF": str(settings / "containers.conf"),
        "XDG_RUNTIME_DIR": str(home),
        "BUILDAH_ISOLATION": "chroot",
    }
    return Client(name, home, variables=variables)
