"""Each kind of write of tags and artifacts has one function, so a rule in it holds for every caller."""

import ast
from collections import defaultdict
from pathlib import Path

import metasvc.domain
import metasvc.store
from metasvc.store.tables import metadata

DOMAIN = Path(metasvc.domain.__file__).parent
STORE = Path(metasvc.store.__file__).parent

# The methods of the store that write them, and the only functions that call these.
DOORS = {
    "tags.put": {"tag.point_tags"},
    "tags.remove": {"tag.remove_tags"},
    "artifacts.add": {"manifest_push._add"},
    "artifacts.remove": {"artifact.delete_artifact"},
    "repositories.remove": {"repository.delete_repository"},
    "repositories.describe": {"repository.update_repository"},
    "projects.set_quota": {"quota.set_quota"},
    "projects.mark_deleted": {"project.mark_deleted"},
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


# The functions that move or delete tags, and what each of them asks first.
GUARDS = {
    "tag.point_tags": "refuse_moves",
    "tag.remove_tags": "refuse_deletions",
    "artifact.delete_artifact": "remove_tags",
    "repository.delete_repository": "refuse_deletion_of_all",
    "manifest_push._store": "refuse_push",
}
WRITES = ("put", "remove", "point_tags")
# The statements of the store that change rows of tags: these, and deletions of what tags belong to (ON DELETE CASCADE).
# `_PULLED` sets the pull time only.
TAG_STATEMENTS = {"tag._MOVE", "tag._add", "tag._REMOVE", "tag._PULLED"}
OWNER_STATEMENTS = {"artifact._REMOVE", "repository._REMOVE"}
_CHANGES = {"insert", "update", "delete", "upsert"}


def test_each_door_asks_the_immutable_rules_before_it_writes() -> None:
    for door, guard in GUARDS.items():
        module, _, name = door.partition(".")
        (function,) = (
            node
            for node in ast.parse((DOMAIN / f"{module}.py").read_text()).body
            if isinstance(node, ast.AsyncFunctionDef) and node.name == name
        )
        lines: defaultdict[str, list[int]] = defaultdict(list)
        for node in ast.walk(function):
            if isinstance(node, ast.Call):
                lines[_called(node)].append(node.lineno)
        assert len(lines[guard]) == 1, door
        assert lines[guard][0] < min(line for write in WRITES for line in lines[write]), door


def test_no_other_statement_of_the_store_writes_or_deletes_a_tag() -> None:
    owners = {"artifact", "repository", "project"}
    assert {key.column.table.name for key in metadata.tables["tag"].foreign_keys} == owners - {"project"}
    found: defaultdict[str, set[str]] = defaultdict(set)
    for file in STORE.glob("*.py"):
        for statement in ast.parse(file.read_text()).body:
            name = _defined(statement)
            for node in ast.walk(statement):
                if isinstance(node, ast.Call) and _called(node) in _CHANGES:
                    for argument in node.args:
                        if isinstance(argument, ast.Name):
                            change = "delete" if _called(node) == "delete" else "write"
                            found[f"{change} {argument.id}"].add(f"{file.stem}.{name}")
    assert found["write tag"] | found["delete tag"] == TAG_STATEMENTS
    assert {each for owner in owners for each in found[f"delete {owner}"]} == OWNER_STATEMENTS


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _defined(statement: ast.stmt) -> str:
    """The name of what a statement of a module defines."""
    if isinstance(statement, ast.Assign):
        return ast.unparse(statement.targets[0])
    return getattr(statement, "name", "")
