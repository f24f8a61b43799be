import base64

import pytest

from svckit.errors import error_for
from tests.unit.gateway.conftest import REPOSITORY, House, MakeHouse


def basic(name: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()}


async def test_without_credentials_the_base_answers_with_a_challenge_that_names_the_clients_own_host(
    house: House,
) -> None:
    answer = await house.http.get("/v2/")
    assert answer.status_code == 401
    realm = f"http://127.0.0.1:{house.port}/service/token"
    assert answer.headers["WWW-Authenticate"] == f'Bearer realm="{realm}",service="harbor-registry"'
    assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"
    assert answer.json()["errors"][0]["code"] == "UNAUTHORIZED"


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", f"/v2/{REPOSITORY}/manifests/latest", f"repository:{REPOSITORY}:pull"),
        ("HEAD", f"/v2/{REPOSITORY}/blobs/sha256:{'0' * 64}", f"repository:{REPOSITORY}:pull"),
        ("PUT", f"/v2/{REPOSITORY}/manifests/latest", f"repository:{REPOSITORY}:pull,push"),
        ("POST", f"/v2/{REPOSITORY}/blobs/uploads/", f"repository:{REPOSITORY}:pull,push"),
        ("PATCH", f"/v2/{REPOSITORY}/blobs/uploads/u", f"repository:{REPOSITORY}:pull,push"),
        ("GET", f"/v2/{REPOSITORY}/blobs/uploads/u", f"repository:{REPOSITORY}:pull,push"),
        ("DELETE", f"/v2/{REPOSITORY}/manifests/latest", f"repository:{REPOSITORY}:delete"),
        ("GET", f"/v2/{REPOSITORY}/tags/list", f"repository:{REPOSITORY}:pull"),
        ("GET", f"/v2/{REPOSITORY}/referrers/sha256:{'0' * 64}", f"repository:{REPOSITORY}:pull"),
        ("GET", "/v2/_catalog", "registry:catalog:*"),
        (
            "POST",
            f"/v2/{REPOSITORY}/blobs/uploads/?mount=sha256:{'0' * 64}&from=other/one",
            f"repository:{REPOSITORY}:pull,push repository:other/one:pull",
        ),
    ],
)
async def test_the_challenge_names_the_scope_that_the_route_needs(
    house: House, method: str, path: str, scope: str
) -> None:
    answer = await house.http.request(method, path)
    assert answer.status_code == 401
    assert f',scope="{scope}"' in answer.headers["WWW-Authenticate"]
    assert "error=" not in answer.headers["WWW-Authenticate"]


async def test_a_token_that_lacks_the_right_hears_insufficient_scope_and_a_bad_one_invalid_token(house: House) -> None:
    path = f"/v2/{REPOSITORY}/manifests/latest"
    lacking = await house.http.get(path, headers=house.bearer("pull", "other/one"))
    assert lacking.status_code == 401
    assert lacking.headers["WWW-Authenticate"].endswith(
        f',scope="repository:{REPOSITORY}:pull",error="insufficient_scope"'
    )
    bad = await house.http.get(path, headers={"Authorization": "Bearer a.b.c"})
    assert bad.status_code == 401
    assert bad.headers["WWW-Authenticate"].endswith(',error="invalid_token"')


@pytest.mark.parametrize("header", ["Basic", "Basic ***", "Digest x", "Bearer", "Bearer a b", "Basic " + "QQ=="])
async def test_a_malformed_authorization_header_is_401_and_never_500(house: House, header: str) -> None:
    answer = await house.http.get("/v2/", headers={"Authorization": header})
    assert answer.status_code == 401
    assert "WWW-Authenticate" in answer.headers


async def test_the_base_is_open_to_valid_tokens_only(house: House) -> None:
    assert (await house.http.get("/v2/", headers=house.bearer())).json() == {}
    assert (await house.http.get("/v2", headers=house.bearer())).status_code == 200
    foreign = await house.http.get("/v2/", headers={"Authorization": "Bearer " + house.token() + "x"})
    assert foreign.status_code == 401
    nobody = await house.http.get("/v2/", headers={"Authorization": "Bearer " + house.token(subject="anonymous")})
    assert nobody.status_code == 401
    assert nobody.headers["WWW-Authenticate"].endswith(',error="insufficient_scope"')


async def test_basic_credentials_count_on_v2_and_ask_for_what_the_route_needs(house: House) -> None:
    house.authsvc.allowed[REPOSITORY] = frozenset({"pull"})
    house.metasvc.tags = ["one"]
    path = f"/v2/{REPOSITORY}/tags/list"
    answer = await house.http.get(path, headers=basic("alice", "open sesame"))
    assert answer.json() == {"name": REPOSITORY, "tags": ["one"]}
    assert list(house.authsvc.asked[0].scopes) == [f"repository:{REPOSITORY}:pull"]
    assert house.authsvc.calls[0].client_address == "127.0.0.1"
    wrong = await house.http.get(path, headers=basic("alice", "wrong"))
    assert wrong.status_code == 401
    assert "error=" not in wrong.headers["WWW-Authenticate"]
    assert (await house.http.get("/v2/", headers=basic("alice", "open sesame"))).status_code == 200
    assert (await house.http.get("/v2/", headers=basic("alice", "wrong"))).status_code == 401


async def test_the_token_service_takes_scopes_that_repeat_and_scopes_that_share_a_parameter(house: House) -> None:
    house.authsvc.public = {"library/one"}
    answer = await house.http.get(
        "/service/token?service=harbor-registry&scope=repository:a/b:pull%20repository:c/d:pull"
        "&scope=repository:library/one:pull&account=alice&offline_token=true"
    )
    assert answer.status_code == 200
    document = answer.json()
    assert document["token"] == document["access_token"]
    assert document["expires_in"] == 1800
    assert document["issued_at"] == "2023-11-14T22:13:20Z"
    assert answer.headers["Cache-Control"] == "no-store"
    asked = house.authsvc.asked[0]
    assert list(asked.scopes) == ["repository:a/b:pull", "repository:c/d:pull", "repository:library/one:pull"]
    assert (asked.service, asked.account, asked.HasField("credentials")) == ("harbor-registry", "alice", False)


async def test_the_token_service_refuses_wrong_credentials_other_methods_and_too_many_scopes(house: House) -> None:
    wrong = await house.http.get("/service/token", headers=basic("alice", "wrong"))
    assert wrong.status_code == 401
    assert wrong.headers["WWW-Authenticate"].startswith("Basic ")
    put = await house.http.put("/service/token", data={"grant_type": "password"})
    assert (put.status_code, put.headers["Allow"]) == (405, "GET, HEAD, POST")
    bad = await house.http.get("/service/token", headers={"Authorization": "Bearer a.b.c"})
    assert (bad.status_code, len(house.authsvc.asked)) == (401, 1)
    many = await house.http.get("/service/token?" + "&".join(f"scope=repository:a/b{n}:pull" for n in range(101)))
    assert many.status_code == 400


async def test_the_token_service_takes_the_form_of_oauth2(house: House) -> None:
    house.authsvc.allowed[REPOSITORY] = frozenset({"pull"})
    form = {
        "grant_type": "password",
        "service": "harbor-registry",
        "client_id": "containerd-client",
        "username": "alice",
        "password": "open sesame",
        "scope": f"repository:{REPOSITORY}:pull,push repository:c/d:pull",
    }
    answer = await house.http.post("/service/token", data=form)
    document = answer.json()
    assert document["token"] == document["access_token"]
    assert (document["expires_in"], document["scope"]) == (1800, f"repository:{REPOSITORY}:pull")
    asked = house.authsvc.asked[0]
    assert list(asked.scopes) == [f"repository:{REPOSITORY}:pull,push", "repository:c/d:pull"]
    assert (asked.service, asked.credentials.password.username) == ("harbor-registry", "alice")
    assert (await house.http.post("/service/token", data=form | {"password": "wrong"})).status_code == 401


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"grant_type": "refresh_token", "refresh_token": "x"}, 400),
        ({"username": "alice", "password": "open sesame"}, 400),
        ({"grant_type": "password", "password": "open sesame"}, 401),
        ({"grant_type": "password", "username": "alice", "password": "open\0sesame"}, 401),
        ({"grant_type": "password", "username": "alice", "password": "x" * 70_000}, 413),
    ],
)
async def test_a_form_that_holds_no_credentials_is_refused(house: House, form: dict[str, str], status: int) -> None:
    answer = await house.http.post("/service/token", data=form)
    assert (answer.status_code, house.authsvc.asked) == (status, [])


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", ""])
async def test_credentials_in_another_form_are_415(house: House, content_type: str) -> None:
    sent = {"content": b"grant_type=password&username=alice", "headers": {"Content-Type": content_type}}
    assert (await house.http.post("/service/token", **sent)).status_code == 415  # type: ignore[arg-type]


async def test_who_tries_too_often_is_told_when_to_come_back(house: House) -> None:
    house.authsvc.failure = error_for("TOOMANYREQUESTS", retry_after_seconds=7.2)
    answer = await house.http.get("/service/token", headers=basic("alice", "wrong"))
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "8")


async def test_forwarded_headers_count_from_trusted_proxies_only(make_house: MakeHouse) -> None:
    forwarded = {
        "X-Forwarded-For": "6.6.6.6, 203.0.113.9",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "registry.example.com",
    }
    house = await make_house()
    answer = await house.http.get("/v2/", headers=forwarded)
    assert f'realm="http://127.0.0.1:{house.port}/' in answer.headers["WWW-Authenticate"]
    behind = await make_house(trusted_proxies=("127.0.0.0/8",))
    answer = await behind.http.get("/v2/", headers=forwarded)
    assert 'realm="https://registry.example.com/service/token"' in answer.headers["WWW-Authenticate"]
    await behind.http.get("/service/token", headers=forwarded)
    # What stands left of the client that the proxy saw is the client's own invention.
    assert behind.authsvc.calls[0].client_address == "203.0.113.9"


async def test_an_external_url_and_other_names_go_into_the_challenge(make_house: MakeHouse) -> None:
    house = await make_house(
        external_url="https://hub.example.com/", token_service="my-registry", token_path="/auth/token"
    )
    answer = await house.http.get("/v2/")
    assert (
        answer.headers["WWW-Authenticate"] == 'Bearer realm="https://hub.example.com/auth/token",service="my-registry"'
    )
    assert (await house.http.get("/auth/token")).status_code == 200
    assert (await house.http.get("/service/token")).status_code == 404


@pytest.mark.parametrize("host", ['evil"host', "a b", "x\\y", "-bad"])
async def test_a_host_that_would_break_out_of_the_challenge_is_left_out(house: House, host: str) -> None:
    answer = await house.http.get("/v2/", headers={"Host": host})
    if answer.status_code == 401:
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="/service/token",service="harbor-registry"'
    else:
        assert answer.status_code == 400
