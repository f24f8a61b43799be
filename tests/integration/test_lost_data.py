"""Data that is lost, or another installation's, is refused at the start; an operator can say that it is meant."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.harness import plain_http
from tests.harness.images import image
from tests.harness.installation import Installation, running_installation
from tests.harness.push import push
from tests.harness.up_process import InstallationError
from tests.harness.workspace import Login

IMAGE = image(1)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation with an image, which is stopped. Each test leaves it whole and stopped."""
    folder: Path = tmp_path_factory.mktemp("lost") / "data"
    with running_installation(folder, grpc=False) as running:
        push(running.http_url, Login("admin", running.admin_password), "library/stored", IMAGE, "v1")
        running.stop()
        yield running


def refusal(stopped: Installation) -> str:
    with pytest.raises(InstallationError) as refused:
        stopped.start()
    text = str(refused.value)
    assert "Traceback" not in text
    assert "starting it again" not in text
    assert "exit code 78" in text
    return text[text.rindex("roadstead: ") :]


@pytest.mark.parametrize(
    ("database", "loss"),
    [("authsvc/auth.db", "folder missing"), ("metasvc/meta.db", "empty"), ("metasvc/meta.db", "without tables")],
)
def test_a_lost_database_is_refused_and_nothing_is_made(stopped: Installation, database: str, loss: str) -> None:
    file = stopped.data_dir / database
    service = file.parent.name
    saved = file.read_bytes()
    match loss:
        case "empty":
            file.write_bytes(b"")
        case "without tables":
            file.unlink()
            with closing(sqlite3.connect(file)) as empty:
                empty.execute("PRAGMA user_version=1")
            assert file.stat().st_size
        case "folder missing":
            shutil.rmtree(file.parent)

    said = refusal(stopped)

    assert f"{service} does not start" in said
    assert "Restore the database from a backup" in said
    assert "--start-anyway" in said
    if loss != "without tables":
        assert not file.exists() or not file.stat().st_size
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(saved)


def test_a_lost_blob_folder_is_refused_and_none_is_made(stopped: Installation) -> None:
    folder = stopped.data_dir / "blobsvc"
    folder.rename(folder.with_name("unmounted"))

    said = refusal(stopped)

    assert "holds no store" in said
    assert "--start-anyway blobsvc" in said
    assert not any(folder.iterdir())
    folder.rmdir()
    folder.with_name("unmounted").rename(folder)


def test_the_blob_folder_of_another_installation_is_refused(stopped: Installation) -> None:
    file = stopped.data_dir / "blobsvc" / "store-id"
    own = file.read_text()
    file.write_text("11111111-2222-3333-4444-555555555555\n")

    said = refusal(stopped)

    assert "holds the store 11111111-2222-3333-4444-555555555555" in said
    file.write_text(own)


def test_restored_data_is_used_again_and_a_new_key_is_logged(stopped: Installation) -> None:
    (stopped.data_dir / "keys" / "authsvc.pem").unlink()

    stopped.start()

    assert "key_is_new" in stopped.log()
    auth = ("admin", stopped.admin_password)
    assert plain_http.get(f"{stopped.http_url}/v2/library/stored/tags/list", auth=auth).json()["tags"] == ["v1"]
    stopped.stop()


def test_an_operator_replaces_the_blob_folder_by_one_flag_and_a_push_fills_it(stopped: Installation) -> None:
    shutil.rmtree(stopped.data_dir / "blobsvc")

    stopped.arguments = ("--start-anyway", "blobsvc")
    stopped.start()
    stopped.arguments = ()

    blob = f"{stopped.http_url}/v2/library/stored/blobs/{next(iter(IMAGE.blobs))}"
    auth = ("admin", stopped.admin_password)
    assert plain_http.request("HEAD", blob, auth=auth).status_code == 404
    push(stopped.http_url, Login(*auth), "library/stored", IMAGE, "v1")
    assert "blob_store_forgotten" in stopped.log()
    # The next start insists on the new folder, and metasvc believes in it.
    stopped.restart()
    blob = f"{stopped.http_url}/v2/library/stored/blobs/{next(iter(IMAGE.blobs))}"
    assert plain_http.get(blob, auth=auth).status_code == 200
    push(stopped.http_url, Login(*auth), "library/stored", IMAGE, "v1")
    stopped.stop()
    assert "other_blob_store" not in stopped.log()


def test_an_operator_starts_anyway_and_the_new_data_is_then_insisted_on(stopped: Installation) -> None:
    (stopped.data_dir / "metasvc" / "meta.db").unlink()
    shutil.rmtree(stopped.data_dir / "blobsvc")

    stopped.arguments = ("--start-anyway", "metasvc", "--start-anyway", "blobsvc")
    stopped.start()
    stopped.arguments = ()
    stopped.restart()
    stopped.stop()

    shutil.rmtree(stopped.data_dir / "blobsvc")
    assert "holds no store" in refusal(stopped)


def test_a_first_start_that_was_killed_goes_on(tmp_path: Path) -> None:
    with running_installation(tmp_path / "data", grpc=False) as running:
        running.kill_supervisor()
        # As after a kill between the keys and the databases, before anything served.
        (running.data_dir / "established.json").unlink()
        for file in (running.data_dir / "metasvc").iterdir():
            file.unlink()
        running.start()
        assert plain_http.get(f"{running.http_url}/readyz").status_code == 200
