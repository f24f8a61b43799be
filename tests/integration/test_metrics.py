"""Every process of an installation serves its metrics at its configured address, and nowhere else."""

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from svckit.services import SERVICES
from tests.harness import plain_http
from tests.harness.images import image
from tests.harness.installation import Installation, running_installation
from tests.harness.push import push
from tests.harness.waiting import wait_until
from tests.harness.workspace import Login

PROCESSES = set(SERVICES)
COMMAND = [sys.executable, "-P", "-m", "ctl"]
# Prometheus's base units, and what a count of things may end in.
UNITS = (
    "_seconds",
    "_bytes",
    "_info",
    "_fds",
    "_in_flight",
    "_held",
    "_members",
    "_ok",
    "_streams",
    "_taken",
    "_revision",
    "_revisions",
)

Families = dict[str, Metric]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation that serves metrics, after one push."""
    with running_installation(tmp_path_factory.mktemp("measured") / "data", metrics=True) as running:
        push(running.http_url, Login("admin", running.admin_password), "library/measured", image(1), "v1")
        yield running


def scrape(url: str) -> Families:
    answer = plain_http.get(url)
    assert answer.status_code == 200
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


@pytest.fixture(scope="module")
def scraped(measured: Installation) -> dict[str, Families]:
    return {name: scrape(url) for name, url in measured.metrics_urls.items()}


def value(families: Families, family: str, **labels: str) -> float:
    """The sum of a family's samples that have these labels, buckets aside."""
    return sum(
        sample.value
        for sample in families[family].samples
        if sample.labels.items() >= labels.items() and not sample.name.endswith(("_bucket", "_sum", "_created"))
    )


def test_each_process_has_an_address_of_its_own_on_loopback(measured: Installation) -> None:
    assert set(measured.metrics_urls) == PROCESSES
    assert len(set(measured.metrics_urls.values())) == len(PROCESSES)
    assert all(re.fullmatch(r"http://127\.0\.0\.1:\d+/metrics", url) for url in measured.metrics_urls.values())


def test_they_listen_beyond_loopback_nowhere(measured: Installation) -> None:
    for url in measured.metrics_urls.values():
        with socket.socket() as probe:
            # Another loopback address of this machine: a process that listens on all addresses would answer here.
            assert probe.connect_ex(("127.0.0.2", httpx.URL(url).port or 0)) != 0


def test_a_push_is_counted_by_each_in_its_own_terms(scraped: dict[str, Families]) -> None:
    pushed = image(1)
    size = sum(map(len, pushed.blobs.values()))
    called = "rpc_server_handled"

    assert value(scraped["gateway"], "http_requests", method="PUT", code="201") == len(pushed.blobs) + 1
    assert value(scraped["authsvc"], "authsvc_logins", result="ok") >= 1
    assert value(scraped["authsvc"], "authsvc_tokens_issued", kind="registry") >= 1
    put = "/roadstead.meta.v1.ManifestService/PutManifest"
    assert value(scraped["metasvc"], called, service="metasvc", method=put, code="OK") == 1
    assert value(scraped["metasvc"], "rpc_server_handling_seconds", method=put) == 1
    assert value(scraped["blobsvc"], "blobsvc_uploaded_bytes") == size
    assert value(scraped["blobsvc"], "blobsvc_uploads_ended", how="finished") == len(pushed.blobs)


def test_a_download_comes_from_the_file(measured: Installation) -> None:
    pushed = image(1)
    digest, content = next(iter(pushed.blobs.items()))
    before = scrape(measured.metrics_urls["gateway"])
    basic = Login("admin", measured.admin_password).basic
    url = f"{measured.http_url}/v2/library/measured/blobs/{digest}"
    assert plain_http.get(url, auth=basic).content == content

    def sent(placement: str) -> float:
        after = scrape(measured.metrics_urls["gateway"])
        return value(after, "http_blob_sent_bytes", placement=placement) - value(
            before, "http_blob_sent_bytes", placement=placement
        )

    # The last piece is counted when it was sent.
    wait_until(lambda: sent("file"), "the bytes to be counted", wanted=lambda size: size == len(content))
    assert sent("stream") == 0


def test_each_says_what_its_process_costs(scraped: dict[str, Families]) -> None:
    for families in scraped.values():
        assert value(families, "process_resident_memory_bytes") > 0
        assert value(families, "process_cpu_seconds") > 0
        assert value(families, "process_open_fds") > 0


def test_names_end_in_their_units_and_labels_have_few_values(scraped: dict[str, Families]) -> None:
    for process, families in scraped.items():
        for name, family in families.items():
            if name.startswith("python_") or name.endswith("_created"):
                continue  # the client library's own
            assert family.documentation, name
            assert family.type == "counter" or name.endswith(UNITS), name
            # One for each method, status and bucket. A caller must not be able to add label values.
            assert len(family.samples) < 2000, f"{process}: {name}"
            shown = " ".join(" ".join(sample.labels.values()) for sample in family.samples)
            assert "measured" not in shown, f"{process}: {name} has a series for a repository"


def test_the_documentation_names_all_of_them(scraped: dict[str, Families]) -> None:
    document = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    listed = {name.removesuffix("_total") for name in re.findall(r"^\| `([a-z_]+)` \|", document, re.MULTILINE)}
    served = {
        name
        for families in scraped.values()
        for name in families
        if not name.startswith(("python_", "process_")) and not name.endswith("_created")
    }
    assert listed == served


def test_several_gateways_are_told_apart(tmp_path: Path) -> None:
    with running_installation(tmp_path / "data", grpc=False, metrics=True, workers=2) as running:
        assert set(running.metrics_urls) == PROCESSES - {"gateway"} | {"gateway-1", "gateway-2"}
        assert all("http_requests" in scrape(running.metrics_urls[f"gateway-{number}"]) for number in (1, 2))


def test_a_wrong_address_ends_the_start_and_is_named(tmp_path: Path) -> None:
    result = subprocess.run(
        [*COMMAND, "serve", "blobsvc"],
        env={"ROADSTEAD_BLOBSVC_METRICS_LISTEN": "everywhere", "ROADSTEAD_BLOBSVC_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 78
    assert "blobsvc.metrics_listen: 'everywhere' (from ROADSTEAD_BLOBSVC_METRICS_LISTEN) is refused" in result.stderr


def test_a_taken_port_is_said_at_once(measured: Installation, tmp_path: Path) -> None:
    port = httpx.URL(measured.metrics_urls["authsvc"]).port
    options = {"--data-dir": tmp_path / "data", "--http": "127.0.0.1:0", "--grpc-port": 0, "--metrics-port": port}
    result = subprocess.run(
        [*COMMAND, "up", *(str(word) for option in options.items() for word in option)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1
    assert f"metrics of authsvc on 127.0.0.1:{port}: the port is taken by another program" in result.stderr
