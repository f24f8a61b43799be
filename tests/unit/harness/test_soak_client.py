"""What the clients of the soak accept as an answer."""

import random
import time
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest

from tests.harness.soak.client import RegistryClient, Surprise
from tests.harness.soak.traffic import Outage, Traffic
from tests.harness.workspace import Login


@pytest.fixture
def traffic() -> Traffic:
    return Traffic()


@pytest.fixture
def client(traffic: Traffic) -> Iterator[RegistryClient]:
    """Whatever it asks for is not there."""
    made = RegistryClient("http://nobody", Login("alice", "secret"), traffic, random.Random(1))
    with closing(made):
        made._http = httpx.Client(
            base_url="http://nobody",
            transport=httpx.MockTransport(lambda request: httpx.Response(404, request=request)),
        )
        yield made


def test_what_is_deleted_must_be_there_while_everything_runs(client: RegistryClient) -> None:
    with pytest.raises(Surprise, match="404"):
        client.delete_project("app")


def test_an_outage_explains_that_it_is_gone_already(client: RegistryClient, traffic: Traffic) -> None:
    traffic.outages.append(Outage(["metasvc"], time.monotonic()))
    client.delete_project("app")


def test_an_outage_long_ago_explains_nothing(client: RegistryClient, traffic: Traffic) -> None:
    traffic.outages.append(Outage(["metasvc"], -1000.0, ended=-1000.0))
    with pytest.raises(Surprise, match="404"):
        client.delete_project("app")


def test_an_outage_does_not_explain_that_something_else_is_missing(client: RegistryClient, traffic: Traffic) -> None:
    traffic.outages.append(Outage(["metasvc"], time.monotonic()))
    with pytest.raises(Surprise, match="404"):
        client.ask("GET", "/v2/", 200)
