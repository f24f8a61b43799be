"""Each kind of write of tags and artifacts has one function, so a rule in it holds for every caller."""

import ast
from collections import defaultdict
from pathlib import Path

import metasvc.domain

DOMAIN = Path(metasvc.domain.__file__).parent

# The methods of the store that write them, and the only functions that call these.
DOORS = {
    "tags.put": {"tag.point_tags"},
    "tags.remove": {"tag.remove_tags"},
    "artifacts.add": {"manifest_push._add"},
    "artifacts.remove": {"artifact.delete_artifact"},
    "repositories.remove": {"repository.delete_repository"},
    "repositories.describe": {"repository.update_repository"},
    "projects.set_quota": {"quota.set_quota"},
    "projects.mark_deleted": {"project._mark_deleted"},
}


def callers() -> dict[str, set[str]]:
    """Who calls methods of rows, by "<rows>.<method>"."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for file in DOMAIN.glob("*.py"):
        for function in ast.parse(file.read_text()).body:
            if not isinstance(function, ast.AsyncFunctionDef | ast.FunctionDef | ast.ClassDef):
                continue
            for node in ast.walk(function):
                # `unit.tags.put` and `write.unit.tags.put` alike, called or passed on.
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute):
                    found[f"{node.value.attr}.{node.attr}"].add(f"{file.stem}.{function.name}")
    return found


def test_every_write_of_a_tag_or_artifact_goes_through_its_door() -> None:
    found = callers()
    assert {method: found[method] for method in DOORS} == DOORS


def test_only_these_read_what_a_reference_means() -> None:
    # They read a tag without a lock. Pulls go through `manifest_read`; writes that name a tag use `find_digest`.
    # The others ask for a digest.
    assert callers()["store.find_manifests"] == {
        "manifest_read.resolve_manifests",
        "extra_attributes.read_attributes",
        "manifest_push.put_manifest",
    }
    assert callers()["artifacts.find_manifests"] == {
        "manifest_read.resolve_manifest",
        "artifact.find_digest",
        "addition._manifest",
    }
