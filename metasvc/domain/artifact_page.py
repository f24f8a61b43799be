"""Makes a page of artifacts fit into a message."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from metasvc.domain.model import NO_ANNOTATIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from metasvc.domain.lists import ArtifactView

PAGE_BYTES = 6 * 1024 * 1024
"""The most bytes of everything on a page that may be left out. `MOST_LISTED_ROWS` limits the rest."""

# UTF-8 has at most so many.
_BYTES_OF_CHARACTER = 4


def fit(views: Sequence[ArtifactView], room_bytes: int = PAGE_BYTES) -> tuple[ArtifactView, ...]:
    """Leaves out details that do not fit into `room_bytes`. No artifact is left out: pages by number need them all.

    First the annotations, URLs and platforms of children are left out, then the annotations and attributes of the
    artifacts, of those first that have the most. GetArtifact shows them.
    """
    fitting = list(views)
    excess = sum(_weight_of_own(view) + _weight_of_children(view) for view in views) - room_bytes
    for weigh, strip in ((_weight_of_children, _without_details_of_children), (_weight_of_own, _without_details)):
        if excess <= 0:
            break
        weights = [weigh(view) for view in views]
        for place in sorted(range(len(weights)), key=weights.__getitem__, reverse=True):
            if excess <= 0:
                break
            excess -= weights[place]
            fitting[place] = strip(fitting[place])
    return tuple(fitting)


def _weight_of_own(view: ArtifactView) -> int:
    return _weight(view.artifact.annotations) + _weight(view.artifact.extra_attrs)


def _weight_of_children(view: ArtifactView) -> int:
    return sum(_weight(child.annotations) + _weight(child.urls) + _weight(child.platform) for child in view.references)


def _weight(value: Mapping[str, object] | Sequence[str] | None) -> int:
    if not value:
        return 0
    shown = dict(value) if isinstance(value, Mapping) else value
    return len(json.dumps(shown, ensure_ascii=False)) * _BYTES_OF_CHARACTER


def _without_details_of_children(view: ArtifactView) -> ArtifactView:
    bare = tuple(replace(child, annotations=NO_ANNOTATIONS, urls=(), platform=None) for child in view.references)
    return replace(view, references=bare)


def _without_details(view: ArtifactView) -> ArtifactView:
    return replace(view, artifact=replace(view.artifact, annotations=NO_ANNOTATIONS, extra_attrs=NO_ANNOTATIONS))
