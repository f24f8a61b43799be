"""A kind takes the parameters that it names, with their types."""

import pytest

from jobsvc.engine.domain.parameters import takes
from svckit.errors import Invalid

check = takes(project_id=0, dry_run=False)


def test_what_is_left_out_has_its_default() -> None:
    assert check({}) == {"project_id": 0, "dry_run": False}
    assert check({"dry_run": True, "project_id": 7}) == {"project_id": 7, "dry_run": True}


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"other": 1}, "parameters.other is not known to this kind, which takes dry_run, project_id"),
        ({"dry_run": 1}, "parameters.dry_run must be true or false"),
        ({"dry_run": "true"}, "parameters.dry_run must be true or false"),
        ({"project_id": True}, "parameters.project_id must be a whole number that is not negative"),
        ({"project_id": -1}, "parameters.project_id must be a whole number that is not negative"),
        ({"project_id": 1.5}, "parameters.project_id must be a whole number that is not negative"),
        ({"project_id": None}, "parameters.project_id must be a whole number that is not negative"),
    ],
)
def test_anything_else_is_refused(parameters: dict[str, object], text: str) -> None:
    with pytest.raises(Invalid, match=text):
        check(parameters)
