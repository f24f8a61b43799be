"""No access rule gets weaker from one release to the next without `make breaking` saying so."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from roadstead.access.v1 import rule_pb2
from roadstead.access.v1.rule_pb2 import AccessRule
from roadstead.meta.v1 import tag_service_pb2

PROGRAM = str(Path(__file__).parents[3] / "protos" / "compare_rules.py")
is_weaker = runpy.run_path(PROGRAM)["is_weaker"]

PUBLIC = AccessRule(public=AccessRule.Public())
AUTHENTICATED = AccessRule(authenticated=AccessRule.Authenticated())
FILTERED = AccessRule(filtered=AccessRule.Filtered())
NONE = AccessRule()
GRANT = AccessRule(holder=AccessRule.Holder(document=AccessRule.DOCUMENT_GRANT, field="grant"))
RECEIPT = AccessRule(holder=AccessRule.Holder(document=AccessRule.DOCUMENT_RECEIPT, field="grant"))


def services(*callers: str) -> AccessRule:
    return AccessRule(service=AccessRule.Service(callers=callers))


def project(resource: str, action: str, field: str = "project") -> AccessRule:
    return AccessRule(project=AccessRule.Project(resource=resource, action=action, field=field))


def system(resource: str, action: str) -> AccessRule:
    return AccessRule(system=AccessRule.System(resource=resource, action=action))


def each(action: str, *callers: str) -> AccessRule:
    return AccessRule(
        each=AccessRule.Each(
            callers=callers,
            members="members",
            project=AccessRule.Project(resource="repository", action=action, field="repository"),
        )
    )


def row(resource: str, action: str) -> AccessRule:
    return AccessRule(row=AccessRule.Row(resource=resource, action=action))


def self_(field: str, robot_action: str = "") -> AccessRule:
    kind: AccessRule = AccessRule()
    kind.self.field = field
    kind.self.robot_action = robot_action
    kind.self.SetInParent()
    return kind


def acting(rule: AccessRule, *services: str) -> AccessRule:
    """The same rule, with services that may act for themselves."""
    with_services: AccessRule = AccessRule()
    with_services.CopyFrom(rule)
    getattr(with_services, rule.WhichOneof("kind") or "").services.extend(services)
    return with_services


NAMING_SERVICES = {
    "project": project("tag", "delete"),
    "system": system("user", "list"),
    "row": row("robot", "read"),
    "self": self_("id"),
    "filtered": FILTERED,
}
"""A rule of each kind that can name services."""


def image(rule: AccessRule, method: str = "DeleteTag") -> bytes:
    """The real contract of tags, with another rule on one RPC."""
    files = FileDescriptorSet()
    tag_service_pb2.DESCRIPTOR.CopyToProto(files.file.add())
    [changed] = [found for found in files.file[0].service[0].method if found.name == method]
    changed.options.Extensions[rule_pb2.rule].CopyFrom(rule)
    return files.SerializeToString()


def compare(tmp_path: Path, before: bytes, after: bytes) -> "subprocess.CompletedProcess[str]":
    (tmp_path / "before.binpb").write_bytes(before)
    (tmp_path / "after.binpb").write_bytes(after)
    command = [sys.executable, PROGRAM, str(tmp_path / "before.binpb"), str(tmp_path / "after.binpb")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(project("tag", "delete"), project("tag", "delete"), id="unchanged"),
        pytest.param(PUBLIC, project("tag", "delete"), id="nobody was kept out"),
        pytest.param(services("gateway", "metasvc"), services("metasvc"), id="a service less"),
        pytest.param(each("pull", "gateway", "metasvc"), each("pull", "gateway"), id="a sender of batches less"),
        pytest.param(AUTHENTICATED, self_("id"), id="everybody's own"),
        pytest.param(AUTHENTICATED, system("user", "update"), id="a right more"),
        pytest.param(self_(""), self_("id"), id="the user that is named"),
        pytest.param(PUBLIC, acting(system("user", "list"), "jobsvc"), id="nobody was kept out, services neither"),
    ],
)
def test_what_keeps_out_as_many_or_more_is_not_weaker(before: AccessRule, after: AccessRule) -> None:
    assert not is_weaker(before, after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(project("tag", "delete"), PUBLIC, id="public"),
        pytest.param(project("tag", "delete"), NONE, id="no rule"),
        pytest.param(project("tag", "delete"), AUTHENTICATED, id="authenticated"),
        pytest.param(project("tag", "delete"), project("tag", "list"), id="another action"),
        pytest.param(project("tag", "delete"), project("tag", "delete", "other"), id="another project"),
        pytest.param(project("tag", "delete"), row("tag", "delete"), id="left to the domain"),
        pytest.param(system("user", "list"), project("user", "list"), id="a project's members"),
        pytest.param(services("metasvc"), services("metasvc", "gateway"), id="a service more"),
        pytest.param(each("pull", "gateway"), each("pull", "gateway", "metasvc"), id="a sender of batches more"),
        pytest.param(each("push", "gateway"), each("pull", "gateway"), id="another action of each member"),
        pytest.param(services("gateway"), each("pull", "gateway"), id="a batch"),
        pytest.param(self_("id"), self_(""), id="every user"),
        pytest.param(self_("id"), self_("id", "read"), id="robots"),
        pytest.param(self_(""), self_("id", "read"), id="robots instead of every user"),
        pytest.param(self_("id"), AUTHENTICATED, id="not only one's own"),
        pytest.param(GRANT, RECEIPT, id="another document"),
        pytest.param(AUTHENTICATED, system("catalog", "read"), id="registry tokens"),
        pytest.param(AUTHENTICATED, FILTERED, id="nobody in particular"),
    ],
)
def test_what_may_let_in_more_is_weaker(before: AccessRule, after: AccessRule) -> None:
    assert is_weaker(before, after)


@pytest.mark.parametrize("kind", NAMING_SERVICES)
def test_a_service_more_that_may_act_for_itself_is_weaker_and_one_less_is_not(kind: str) -> None:
    rule = NAMING_SERVICES[kind]
    assert is_weaker(rule, acting(rule, "jobsvc"))
    assert is_weaker(acting(rule, "jobsvc"), acting(rule, "jobsvc", "worker"))
    assert is_weaker(acting(rule, "jobsvc"), acting(rule, "worker"))
    assert not is_weaker(acting(rule, "jobsvc"), rule)
    assert not is_weaker(acting(rule, "jobsvc", "worker"), acting(rule, "worker"))
    # In another order it is the same rule.
    assert not is_weaker(acting(rule, "jobsvc", "worker"), acting(rule, "worker", "jobsvc"))


def test_a_service_less_does_not_make_up_for_what_got_weaker_for_callers() -> None:
    assert is_weaker(acting(project("tag", "delete"), "jobsvc"), project("tag", "list"))
    assert is_weaker(acting(self_("id"), "jobsvc"), acting(self_(""), "jobsvc"))


def test_services_that_come_with_a_stronger_kind_are_weaker_all_the_same() -> None:
    assert not is_weaker(AUTHENTICATED, self_("id"))
    assert is_weaker(AUTHENTICATED, acting(self_("id"), "jobsvc"))
    assert is_weaker(AUTHENTICATED, acting(system("user", "update"), "jobsvc"))
    # To pass on a call is not to act.
    assert is_weaker(services("jobsvc"), acting(project("tag", "delete"), "jobsvc"))


def test_every_kind_that_can_name_services_is_known_here() -> None:
    kinds = [field.name for field in AccessRule.DESCRIPTOR.oneofs_by_name["kind"].fields]
    naming = {kind for kind in kinds if "services" in getattr(NONE, kind).DESCRIPTOR.fields_by_name}
    assert naming == set(NAMING_SERVICES)


def test_what_got_weaker_is_named_and_fails(tmp_path: Path) -> None:
    done = compare(tmp_path, image(project("tag", "delete")), image(AUTHENTICATED))

    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "/roadstead.meta.v1.TagService/DeleteTag: project { " in line
    assert line.endswith(" became authenticated { }")


def test_what_did_not_passes(tmp_path: Path) -> None:
    done = compare(tmp_path, image(AUTHENTICATED), image(self_("id")))

    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_new_or_gone_is_not_judged_here(tmp_path: Path) -> None:
    whole = image(project("tag", "delete"))
    less = FileDescriptorSet.FromString(whole)
    del less.file[0].service[0].method[0]

    for before, after in ((whole, less.SerializeToString()), (less.SerializeToString(), whole)):
        assert compare(tmp_path, before, after).returncode == 0
