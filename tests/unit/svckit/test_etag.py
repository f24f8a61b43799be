from dataclasses import dataclass

import pytest

from svckit.errors import Precondition
from svckit.etag import check_etag


@dataclass
class Thing:
    etag: str


@pytest.mark.parametrize("expected", ["", "*", "7-2", '"7-2"'])
def test_the_etag_of_now_and_none_at_all_let_a_change_through(expected: str) -> None:
    check_etag(expected, Thing("7-2"))


@pytest.mark.parametrize("expected", ["7-1", "7-3", "8-2", "x", '"7-1"', '"'])
def test_any_other_etag_refuses_it(expected: str) -> None:
    with pytest.raises(Precondition) as refused:
        check_etag(expected, Thing("7-2"))
    assert refused.value.reason == "PRECONDITION"
    assert [violation.field for violation in refused.value.violations] == ["etag"]
