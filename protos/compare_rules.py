"""Fails where an access rule got weaker since a release: `compare_rules.py RELEASED CURRENT`.

Both are images of the contracts, as `buf build --output FILE.binpb` writes them. buf compares messages and RPCs, and
does not know what our options mean.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from google.protobuf import text_format
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from roadstead.access.v1 import rule_pb2
from roadstead.access.v1.rule_pb2 import AccessRule

# The one resource of the system level that a registry token opens as well.
_CATALOG = "catalog"


def read_rules(image: bytes) -> dict[str, AccessRule]:
    """The rules of all RPCs in an image, by "/package.Service/Method"; an empty rule where none is declared."""
    return {
        f"/{file.package}.{service.name}/{method.name}": method.options.Extensions[rule_pb2.rule]
        for file in FileDescriptorSet.FromString(image).file
        for service in file.service
        for method in service.method
    }


def is_weaker(before: AccessRule, after: AccessRule) -> bool:
    """Whether a rule may let in whom the one before kept out, or cannot be shown not to."""
    before_services, before_callers = _split(before)
    after_services, after_callers = _split(after)
    if before.WhichOneof("kind") != "public" and not after_services <= before_services:
        return True
    return _is_weaker_for_callers(before_callers, after_callers)


def _split(rule: AccessRule) -> tuple[set[str], AccessRule]:
    """The services that a rule lets act for themselves, and the rule without them."""
    callers: AccessRule = AccessRule()
    callers.CopyFrom(rule)
    kind = callers.WhichOneof("kind")
    declared = None if kind is None else getattr(callers, kind)
    if declared is None or "services" not in declared.DESCRIPTOR.fields_by_name:
        return set(), callers
    services = set(declared.services)
    declared.ClearField("services")
    return services, callers


def _is_weaker_for_callers(before: AccessRule, after: AccessRule) -> bool:
    if before == after:
        return False
    match before.WhichOneof("kind"), after.WhichOneof("kind"):
        case _, None:
            return True
        case "public", _:
            return False
        case "service", "service":
            return not set(after.service.callers) <= set(before.service.callers)
        case "each", "each":
            return not set(after.each.callers) <= set(before.each.callers) or (
                after.each.members,
                after.each.project,
            ) != (before.each.members, before.each.project)
        case "authenticated", "self":
            return False
        case "authenticated", "system":
            return after.system.resource == _CATALOG
        case "self", "self":
            # Without a field it is every user, and no robot.
            return before.self.field != "" or after.self.robot_action != ""
        case _:
            return True


def weakened(released: Mapping[str, AccessRule], current: Mapping[str, AccessRule]) -> Iterator[str]:
    """A line for each RPC whose rule got weaker. What is new or gone is for buf to judge."""
    for method in sorted(released.keys() & current.keys()):
        before, after = released[method], current[method]
        if is_weaker(before, after):
            yield f"{method}: {_text(before)} became {_text(after)}"


def _text(rule: AccessRule) -> str:
    return text_format.MessageToString(rule, as_one_line=True) or "no rule"


def main(released: str, current: str) -> int:
    """Prints what got weaker; the exit status says whether anything did."""
    found = list(weakened(read_rules(Path(released).read_bytes()), read_rules(Path(current).read_bytes())))
    for line in found:
        print(f"the access rule got weaker: {line}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
