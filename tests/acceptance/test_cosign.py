"""cosign signs, attests and attaches; lists show the image with its accessories, and deleting it leaves nothing."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.harness.images import image, write_oci_layout
from tests.harness.programs import Client
from tests.harness.workspace import Workspace

pytestmark = pytest.mark.acceptance

_PLAIN = ("--allow-http-registry", "--allow-insecure-registry")


class Signed:
    """An image that was pushed by crane, and the ways in which cosign adds something to it."""

    def __init__(self, seed: int, crane: Client, cosign: Client, workspace: Workspace, home: Path) -> None:
        """Pushes the image."""
        pushed = image(seed)
        self.name = f"signed{seed}"
        self.digest = pushed.digest
        self._at = f"{workspace.host}/{workspace.project}/{self.name}"
        self._cosign, self._home = cosign, home
        crane.run("push", "--insecure", str(write_oci_layout(home / f"layout{seed}", pushed)), f"{self._at}:v1")

    def sign(self, *more: str) -> None:
        self._cosign.run(
            "sign", "--yes", "--tlog-upload=false", f"--key={self._home}/cosign.key", *_PLAIN, *more, self._reference
        )

    def attest(self) -> None:
        predicate = self._home / "predicate.json"
        predicate.write_text(json.dumps({"built": "here"}))
        self._cosign.run(
            "attest", "--yes", "--tlog-upload=false", f"--key={self._home}/cosign.key", f"--predicate={predicate}",
            "--type=custom", *_PLAIN, self._reference,
        )  # fmt: skip

    def attach_sbom(self) -> None:
        sbom = self._home / "sbom.json"
        sbom.write_text(json.dumps({"spdxVersion": "SPDX-2.3"}))
        self._cosign.run("attach", "sbom", f"--sbom={sbom}", *_PLAIN, self._reference)

    def verify(self, *more: str) -> list[Any]:
        key = f"--key={self._home}/cosign.pub"
        found: list[Any] = json.loads(
            self._cosign.run("verify", key, "--insecure-ignore-tlog=true", *_PLAIN, *more, self._reference)
        )
        return found

    @property
    def _reference(self) -> str:
        return f"{self._at}@{self.digest}"


def _artifacts(rest: httpx.Client, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = rest.get(
        f"/repositories/{name}/artifacts", params={"with_accessory": "true", "with_tag": "true"}
    ).json()
    return found


def _used_bytes(rest: httpx.Client) -> int:
    used: int = rest.get("/summary").json()["quota"]["used"]["storage"]
    return used


def test_signature_attestation_and_sbom_are_accessories_and_go_with_the_image(
    crane: Client, cosign: Client, workspace: Workspace, home: Path, rest: httpx.Client
) -> None:
    before = _used_bytes(rest)
    signed = Signed(901, crane, cosign, workspace, home)

    signed.sign()
    signed.attest()
    signed.attach_sbom()

    assert len(signed.verify()) == 1
    [listed] = _artifacts(rest, signed.name)
    assert listed["digest"] == signed.digest
    assert [tag["name"] for tag in listed["tags"]] == ["v1"]
    assert len(listed["accessories"]) == 3
    assert _used_bytes(rest) > before

    assert rest.delete(f"/repositories/{signed.name}/artifacts/v1").status_code == 200

    assert _artifacts(rest, signed.name) == []
    assert crane.run("ls", "--insecure", f"{workspace.host}/{workspace.project}/{signed.name}").split() == []
    assert _used_bytes(rest) == before


def test_a_second_signature_is_added_to_the_first(
    crane: Client, cosign: Client, workspace: Workspace, home: Path, rest: httpx.Client
) -> None:
    signed = Signed(902, crane, cosign, workspace, home)

    signed.sign("-a", "by=one")
    signed.sign("-a", "by=two")

    assert len(signed.verify()) == 2
    [listed] = _artifacts(rest, signed.name)
    assert signed.digest == listed["digest"]


def test_a_signature_by_a_referrer_is_an_accessory_too(
    crane: Client, cosign: Client, workspace: Workspace, home: Path, rest: httpx.Client
) -> None:
    signed = Signed(903, crane, cosign, workspace, home)

    signed.sign("--registry-referrers-mode=oci-1-1")

    assert len(signed.verify("--experimental-oci11=true")) == 1
    [listed] = _artifacts(rest, signed.name)
    assert [accessory["type"] for accessory in listed["accessories"]] == ["signature.cosign"]
    assert rest.delete(f"/repositories/{signed.name}/artifacts/v1").status_code == 200
    assert _artifacts(rest, signed.name) == []
