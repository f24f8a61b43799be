"""The routes of the configuration, of CVE allowlists, and of single settings of projects."""

from tests.harness.walk import Walk


def walk_settings(walk: Walk, project: str) -> None:
    """Writes what is there already, because other tests use the same installation."""
    banner = walk.read("/configurations")["banner_message"]["value"]
    walk.change("PUT", "/configurations", {"banner_message": banner})
    assert walk.read("/internalconfig")["banner_message"]["value"] == banner
    allowed = walk.read("/system/CVEAllowlist")
    walk.change("PUT", "/system/CVEAllowlist", {"items": allowed["items"]})
    assert walk.read("/systeminfo/volumes")["storage"][0]["total"] > 0
    path = f"/projects/{project}/metadatas"
    walk.change("POST", path, {"severity": "high"})
    assert walk.read(path)["severity"] == "high"
    walk.change("PUT", f"{path}/severity", {"severity": "low"})
    assert walk.read(f"{path}/severity") == {"severity": "low"}
    walk.change("DELETE", f"{path}/severity")
    assert walk.read(f"{path}/severity") == {}
