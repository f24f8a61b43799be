"""What goes when an artifact is deleted: what nobody else names.

The children of a deleted index go with it, and the accessories of a deleted subject, and so on from these. Something
stays if it is named from outside:

- by an ordinary tag, which is a tag that does not make its artifact an accessory;
- by an index that stays;
- an accessory: by a subject that stays. An accessory that is only reached as the child of an index stays also while its
  subject is missing, because only a deleted subject takes its accessories along;
- a child: by a push that may be running (`domain.review`).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class GraphArtifact:
    """An artifact that may be deleted.

    Attributes:
        put_time: the last PUT.
        asked_time: the last HEAD or PUT that was written; None for none.
        is_tagged: whether it has an ordinary tag.
    """

    id: int
    digest: str
    put_time: datetime
    asked_time: datetime | None
    is_tagged: bool


@dataclass(frozen=True, slots=True)
class ArtifactGraph:
    """An artifact, everything that can be reached from it, and what names these.

    Attributes:
        root: the id of the artifact that shall be deleted.
        artifacts: it and what can be reached from it by references to children and accessories, by id.
        parents: the indexes that name an artifact, also those outside, by the id of the artifact.
        subjects: the subjects of an accessory, also those outside, by the id of the accessory; None for a missing one.
    """

    root: int
    artifacts: Mapping[int, GraphArtifact]
    parents: Mapping[int, AbstractSet[int]]
    subjects: Mapping[int, AbstractSet[int | None]]


@dataclass(frozen=True, slots=True)
class Deletion:
    """What the deletion of the root means for everything else.

    Attributes:
        going: what goes, with the root, sorted by digest.
        left_children: children of what goes that stay.
        left_accessories: accessories of what goes that stay.
        has_parent: whether an index that stays names the root, so that the root must not be deleted.
    """

    going: tuple[GraphArtifact, ...]
    left_children: tuple[GraphArtifact, ...]
    left_accessories: tuple[GraphArtifact, ...]
    has_parent: bool


_NONE: frozenset[int] = frozenset()
_NO_SUBJECT: frozenset[int | None] = frozenset()


def plan_deletion(graph: ArtifactGraph, asked_since: datetime) -> Deletion:
    """Finds what goes with the root of a graph. The time it takes is proportional to the size of the graph.

    Args:
        graph: the graph, locked.
        asked_since: a HEAD or PUT after this time may belong to a running push.
    """
    below: defaultdict[int, list[int]] = defaultdict(list)
    for child, parents in graph.parents.items():
        for parent in parents & graph.artifacts.keys():
            below[parent].append(child)
    for accessory, subjects in graph.subjects.items():
        for subject in subjects:
            if subject is not None and subject in graph.artifacts:
                below[subject].append(accessory)
    # What stays keeps everything below it, so this finds the most that can go. With the opposite way, from the root
    # down, two artifacts that name each other would never go.
    staying: set[int] = set()
    waiting = [id_ for id_ in graph.artifacts if id_ != graph.root and _is_held(graph, id_, asked_since)]
    while waiting:
        held = waiting.pop()
        if held not in staying:
            staying.add(held)
            waiting += (id_ for id_ in below[held] if id_ != graph.root)
    going = graph.artifacts.keys() - staying
    return Deletion(
        going=_sorted(graph, going),
        left_children=_sorted(graph, (id_ for id_ in staying if graph.parents.get(id_, _NONE) & going)),
        left_accessories=_sorted(graph, (id_ for id_ in staying if graph.subjects.get(id_, _NO_SUBJECT) & going)),
        has_parent=not graph.parents.get(graph.root, _NONE) <= going,
    )


def _is_held(graph: ArtifactGraph, id_: int, asked_since: datetime) -> bool:
    """Whether something outside of the graph keeps an artifact."""
    artifact = graph.artifacts[id_]
    if artifact.is_tagged:
        return True
    parents = graph.parents.get(id_, _NONE)
    if not parents <= graph.artifacts.keys():
        return True
    subjects = graph.subjects.get(id_, _NO_SUBJECT)
    present = subjects - {None}
    if not present <= graph.artifacts.keys() or (subjects and not present):
        return True
    if not parents or artifact.asked_time is None or artifact.asked_time <= asked_since:
        return False
    return artifact.asked_time > max(graph.artifacts[parent].put_time for parent in parents)


def _sorted(graph: ArtifactGraph, ids: Iterable[int]) -> tuple[GraphArtifact, ...]:
    return tuple(sorted((graph.artifacts[id_] for id_ in ids), key=lambda artifact: artifact.digest))
