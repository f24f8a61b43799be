"""crane, as build pipelines use it: push, pull, copy between repositories, tag, list, delete."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.images import Image, image, index, write_oci_layout
from tests.harness.programs import Client
from tests.harness.workspace import Login, Management, Workspace

pytestmark = pytest.mark.clients

_PLAIN = "--insecure"

Named = Callable[[str], str]


def _log_in(crane: Client, workspace: Workspace, login: Login) -> None:
    crane.run("auth", "login", workspace.host, "-u", login.name, "--password-stdin", input_text=login.secret)


def _stored(layout: Path) -> set[str]:
    return {f"sha256:{path.name}" for path in (layout / "blobs" / "sha256").iterdir()}


@pytest.mark.parametrize(
    "pushed",
    [
        pytest.param(image(101), id="oci"),
        pytest.param(image(102, docker=True), id="schema2"),
        pytest.param(image(103, layers=40), id="40-layers"),
        pytest.param(index([image(104), image(105, architecture="arm64")]), id="index"),
    ],
)
def test_what_is_pushed_is_pulled_with_the_same_digest(
    crane: Client, workspace: Workspace, repository: Named, tmp_path: Path, pushed: Image
) -> None:
    _log_in(crane, workspace, workspace.maintainer)
    name = f"{repository('pushed')}:v1"

    crane.run("push", _PLAIN, "--index", str(write_oci_layout(tmp_path / "in", pushed)), name)
    digest = crane.run("digest", _PLAIN, name).strip()
    crane.run("pull", _PLAIN, "--format", "oci", f"{repository('pushed')}@{digest}", str(tmp_path / "out"))

    # With --index crane pushes the layout's own index, whose one entry is what we made.
    wanted = {pushed.digest, *pushed.blobs, *(child.digest for child in pushed.children)}
    assert wanted <= _stored(tmp_path / "out")
    assert crane.run("manifest", _PLAIN, f"{repository('pushed')}@{pushed.digest}").encode() == pushed.manifest


def test_a_copy_to_another_repository_mounts_the_blobs(
    crane: Client, workspace: Workspace, login: Login, repository: Named, tmp_path: Path
) -> None:
    pushed = image(120, layers=3)
    _log_in(crane, workspace, login)
    source, target = f"{repository('from')}:v1", f"{repository('to')}:v1"
    crane.run("push", _PLAIN, str(write_oci_layout(tmp_path / "in", pushed)), source)

    copied = crane.attempt("copy", _PLAIN, source, target)

    assert copied.returncode == 0, copied.stderr
    for layer in pushed.layers:
        assert f"mounted blob: {layer['digest']}" in copied.stderr
    assert crane.run("digest", _PLAIN, target).strip() == pushed.digest
    assert crane.run("validate", _PLAIN, "--remote", target)


def test_tag_ls_and_delete(
    crane: Client, workspace: Workspace, login: Login, repository: Named, tmp_path: Path
) -> None:
    pushed = image(130)
    _log_in(crane, workspace, login)
    name = repository("tagged")
    crane.run("push", _PLAIN, str(write_oci_layout(tmp_path / "in", pushed)), f"{name}:v1")

    crane.run("tag", _PLAIN, f"{name}:v1", "v2")
    assert crane.run("ls", _PLAIN, name).split() == ["v1", "v2"]
    assert crane.run("digest", _PLAIN, f"{name}:v2").strip() == pushed.digest

    crane.run("delete", _PLAIN, f"{name}@{pushed.digest}")
    gone = crane.attempt("digest", _PLAIN, f"{name}:v2")
    assert gone.returncode != 0
    assert "MANIFEST_UNKNOWN" in gone.stderr or "404" in gone.stderr


def test_somebody_outside_may_not_push(crane: Client, workspace: Workspace, repository: Named, tmp_path: Path) -> None:
    _log_in(crane, workspace, workspace.outsider)

    refused = crane.attempt("push", _PLAIN, str(write_oci_layout(tmp_path / "in", image(140))), repository("closed"))

    assert refused.returncode != 0
    # crane asks by HEAD first, whose refusal has no body to quote.
    assert "401 Unauthorized" in refused.stderr


def test_an_immutable_tag_is_refused_with_the_reason(
    crane: Client, workspace: Workspace, management: Management, login: Login, repository: Named, tmp_path: Path
) -> None:
    _log_in(crane, workspace, login)
    name = repository("released")
    crane.run("push", _PLAIN, str(write_oci_layout(tmp_path / "one", image(150))), f"{name}:v1")
    crane.run("push", _PLAIN, str(write_oci_layout(tmp_path / "two", image(151))), f"{name}:latest")
    within = name.removeprefix(f"{workspace.host}/{workspace.project}/")
    rule = {
        "tag_selectors": [{"kind": "doublestar", "decoration": "matches", "pattern": "v*"}],
        "scope_selectors": {"repository": [{"kind": "doublestar", "decoration": "repoMatches", "pattern": within}]},
    }
    management.client.post(f"/projects/{workspace.project}/immutabletagrules", json=rule).raise_for_status()

    refused = [
        crane.attempt("push", _PLAIN, str(tmp_path / "two"), f"{name}:v1"),
        crane.attempt("tag", _PLAIN, f"{name}:latest", "v1"),
        crane.attempt("delete", _PLAIN, f"{name}:v1"),
    ]

    pushed = f"Failed to process request due to '{within}:v1' configured as immutable."
    for attempt, text in zip(
        refused, [pushed, pushed, "the tag v1 configured as immutable, cannot be deleted"], strict=True
    ):
        assert attempt.returncode != 0
        assert text in attempt.stderr
    assert crane.run("digest", _PLAIN, f"{name}:v1").strip() == image(150).digest
