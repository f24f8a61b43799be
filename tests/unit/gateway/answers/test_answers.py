"""The answers, byte for byte, to a thousand requests, with their log lines and what the services saw.

`answers.json` was recorded when every request was one of Quart's, with werkzeug's headers. Since then, requests of the
surfaces go from the ASGI scope to the answer by themselves. If answers change on purpose, record them again, and read
the difference:

    RECORD_ANSWERS=1 pytest tests/unit/gateway/answers
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.unit.gateway.answers.table import PROXY, requests
from tests.unit.gateway.answers.told import Asking
from tests.unit.gateway.conftest import MakeHouse

_FILE = Path(__file__).with_name("answers.json")
_SETTINGS: dict[str, dict[str, Any]] = {
    "alone": {},
    "behind a proxy": {"trusted_proxies": (f"{PROXY}/32",)},
}


@pytest.mark.parametrize("name", _SETTINGS)
async def test_answers_are_those_of_the_long_way(
    name: str, make_house: MakeHouse, caplog: pytest.LogCaptureFixture
) -> None:
    ask = Asking(await make_house(**_SETTINGS[name]), caplog)
    asked = list(requests())
    told = [(await ask(each)).as_json() for each in asked]
    if os.environ.get("RECORD_ANSWERS") == "1":
        _record(name, told)
    recorded = _recorded(name)
    assert len(recorded) == len(told)
    for request, wanted, found in zip(asked, recorded, told, strict=True):
        assert (request, found) == (request, wanted)


def _recorded(name: str) -> list[Any]:
    document = json.loads(_FILE.read_text())
    outcomes = document["outcomes"]
    return [outcomes[number] for number in document["requests"][name]]


def _record(name: str, told: list[Any]) -> None:
    """Writes them down, each outcome once."""
    document = json.loads(_FILE.read_text()) if _FILE.exists() else {"requests": {}, "outcomes": []}
    all_told = {other: _recorded(other) for other in document["requests"]} | {name: told}
    numbers: dict[str, int] = {}
    document["requests"] = {
        each: [numbers.setdefault(json.dumps(one), len(numbers)) for one in all_told[each]] for each in sorted(all_told)
    }
    outcomes = ",\n".join(numbers)
    requests_of = json.dumps(document["requests"])
    _FILE.write_text(f'{{"requests": {requests_of},\n"outcomes": [\n{outcomes}\n]}}\n')
