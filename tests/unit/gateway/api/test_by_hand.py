"""Ping, health, systeminfo and the description."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.routes.api.transcoded import TranscodedRoute
from roadstead.options.v1.bounds_pb2 import bounds
from svckit.configuration.values import Configuration
from tests.unit.gateway.api.conftest import Api

BASIC = ("alice", "open sesame")


async def test_ping_is_answered_whatever_is_behind_and_whoever_asks(api: Api) -> None:
    await api.servers["authsvc"].drain(0)
    answer = await api.http.get("/ping", auth=("nobody", "knows"))
    assert (answer.status_code, answer.text) == (200, "Pong")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


async def test_health_names_each_service(api: Api) -> None:
    healthy = (await api.http.get("/health")).json()
    assert healthy["status"] == "healthy"
    assert {component["name"]: component["status"] for component in healthy["components"]} == {
        "gateway": "healthy",
        "authsvc": "healthy",
        "metasvc": "healthy",
        "blobsvc": "healthy",
        "jobsvc": "healthy",
    }


async def test_health_says_which_service_is_ill_and_no_more(api: Api) -> None:
    await api.servers["blobsvc"].drain(0)
    answer = await api.http.get("/health")
    assert answer.status_code == 200
    assert answer.json()["status"] == "unhealthy"
    assert {"name": "blobsvc", "status": "unhealthy", "error": "not serving (not reachable)"} in answer.json()[
        "components"
    ]


async def test_health_says_why_in_words_of_ours(api: Api) -> None:
    api.servers["metasvc"].set_condition(away=("database",), is_full=True)
    answer = (await api.http.get("/health")).json()
    assert answer["status"] == "unhealthy"
    assert {"name": "metasvc", "status": "unhealthy", "error": "not serving (database)"} in answer["components"]


async def test_a_full_disk_is_told_and_leaves_everything_healthy(api: Api) -> None:
    api.servers["blobsvc"].set_condition(away=(), is_full=True)
    answer = (await api.http.get("/health")).json()
    assert answer["status"] == "healthy"
    assert {"name": "blobsvc", "status": "healthy", "error": "degraded (disk full)"} in answer["components"]


async def test_systeminfo_tells_nobody_more_than_how_to_log_in(api: Api) -> None:
    answer = await api.http.get("/systeminfo")
    assert answer.json() == {
        "auth_mode": "db_auth",
        "primary_auth_mode": False,
        "self_registration": False,
        "banner_message": "",
    }


async def test_systeminfo_shows_the_configuration_as_it_is_now(api: Api) -> None:
    api.configuration.values = Configuration(
        self_registration=True, banner_message="Hello", read_only=True, project_creation_restriction="adminonly"
    )
    answer = (await api.http.get("/systeminfo")).json()
    assert (answer["self_registration"], answer["banner_message"]) == (True, "Hello")
    assert "read_only" not in answer
    answer = (await api.http.get("/systeminfo", headers=api.alice)).json()
    assert (answer["read_only"], answer["project_creation_restriction"]) == (True, "adminonly")


@pytest.mark.parametrize("how", ["basic", "bearer"])
async def test_systeminfo_tells_who_has_logged_in_what_this_registry_is(api: Api, how: str) -> None:
    sent: dict[str, Any] = {"auth": BASIC} if how == "basic" else {"headers": api.alice}
    info = (await api.http.get("/systeminfo", **sent)).json()
    assert info["registry_url"] == f"127.0.0.1:{api.port}"
    assert info["external_url"] == f"http://127.0.0.1:{api.port}"
    assert re.fullmatch(r"v2\.16\.0-[0-9A-Za-z.-]+", info["harbor_version"])
    assert info["project_creation_restriction"] == "everyone"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", info["current_time"])
    assert abs(datetime.fromisoformat(info["current_time"]) - datetime.now(UTC)) < timedelta(minutes=1)


async def test_anybody_downloads_the_certificate_while_there_is_one(api: Api) -> None:
    path = api.app.settings.ca_certificate_file
    assert path is not None
    for content in (b"one", b"two"):
        path.write_bytes(content)
        answer = await api.http.get("/systeminfo/getcert")
        assert (answer.status_code, answer.content) == (200, content)
        assert answer.headers["Content-Disposition"] == "attachment; filename=ca.crt"
        assert (await api.http.get("/systeminfo", headers=api.alice)).json()["has_ca_root"] is True
    for wrong in (b"-----BEGIN CERTIFICATE-----\n-----BEGIN EC PRIVATE KEY-----\n", b"x" * (1024 * 1024 + 1)):
        path.write_bytes(wrong)
        assert (await api.http.get("/systeminfo/getcert")).status_code == 404
    path.unlink()
    refused = await api.http.get("/systeminfo/getcert")
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (404, "NOT_FOUND")
    assert (await api.http.get("/systeminfo", headers=api.alice)).json()["has_ca_root"] is False


async def test_systeminfo_refuses_a_token_that_is_none(api: Api) -> None:
    assert (await api.http.get("/systeminfo", headers={"Authorization": "Bearer x.y.z"})).status_code == 401
    assert (await api.http.get("/systeminfo", auth=("alice", "wrong"))).status_code == 401


async def test_the_description_holds_every_route_with_its_parameters_and_schemas(api: Api) -> None:
    description = (await api.http.get("/openapi.json")).json()
    assert description["openapi"].startswith("3.0.")
    operations = {
        (method.upper(), path): operation
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    }
    (surface,) = (each.handler for each in api.app._surfaces if each.prefix == "/api/v2.0")
    assert operations.keys() == {(route.method, route.path) for route in surface.routes}  # type: ignore[attr-defined]
    names = [operation["operationId"] for operation in operations.values()]
    assert len(set(names)) == len(names)
    assert operations["GET", "/api/v2.0/search"]["parameters"] == [
        {"name": "q", "in": "query", "required": True, "schema": {"type": "string", "maxLength": 255}}
    ]
    listed = operations["GET", "/api/v2.0/projects/{project_name_or_id}/members"]
    assert {(parameter["name"], parameter["in"]) for parameter in listed["parameters"]} == {
        ("project_name_or_id", "path"),
        ("entityname", "query"),
        ("q", "query"),
        ("sort", "query"),
        ("page", "query"),
        ("page_size", "query"),
        ("page_token", "query"),
        ("X-Is-Resource-Name", "header"),
    }
    success = listed["responses"]["200"]
    assert success["content"]["application/json"]["schema"] == {
        "type": "array",
        "items": {"$ref": "#/components/schemas/auth.v1.Member"},
    }
    assert "X-Total-Count" in success["headers"]
    made = operations["POST", "/api/v2.0/projects"]
    body = made["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert body["storage_limit"] == {"type": "integer", "format": "int64", "minimum": -1, "maximum": 2**50}
    assert "Location" in made["responses"]["201"]["headers"]
    assert "content" not in made["responses"]["201"]


async def test_the_description_shows_the_bounds_that_the_services_enforce(api: Api) -> None:
    description = (await api.http.get("/openapi.json")).json()
    paths, schemas = description["paths"], description["components"]["schemas"]

    def body(path: str, method: str = "post") -> Any:
        return paths[f"/api/v2.0{path}"][method]["requestBody"]["content"]["application/json"]["schema"]

    def parameter(path: str, name: str, method: str = "get") -> Any:
        [found] = (each for each in paths[f"/api/v2.0{path}"][method]["parameters"] if each["name"] == name)
        return found["schema"]

    robot = body("/robots")["properties"]
    assert robot["duration"] == {"type": "integer", "format": "int64", "minimum": -1, "maximum": 36500}
    assert robot["level"] == {"type": "string", "enum": ["", "project", "system"]}
    assert robot["description"] == {"type": "string", "maxLength": 1024, "pattern": "^(?:[^\\x00]*)$"}
    assert robot["permissions"] == {
        "type": "array",
        "maxItems": 200,
        "items": {"$ref": "#/components/schemas/auth.v1.RobotPermission"},
    }
    assert schemas["auth.v1.RobotAccess"]["properties"]["effect"] == {"type": "string", "enum": ["", "allow", "deny"]}
    assert body("/projects")["properties"]["metadata"] == {
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": {"type": "string", "maxLength": 1024},
    }
    quota = body("/quotas/{id}", "put")
    assert quota["required"] == ["hard"]
    assert schemas["meta.v1.QuotaResources"]["required"] == ["storage"]
    assert parameter("/quotas/{id}", "id") == {"type": "integer", "format": "int64", "minimum": 1}
    assert parameter("/projects/{project_name_or_id}/members", "project_name_or_id") == {
        "type": "string",
        "minLength": 1,
        "maxLength": 255,
    }
    assert parameter("/users", "q") == {"type": "string", "maxLength": 4096}
    # What the gateway itself demands of a page is narrower than what a service takes.
    assert parameter("/users", "page_size")["minimum"] == 1


async def test_what_a_request_cannot_do_without_is_described_as_required(api: Api) -> None:
    paths = (await api.http.get("/openapi.json")).json()["paths"]

    def required(path: str, method: str = "get") -> set[str]:
        operation = paths[f"/api/v2.0{path}"][method]
        schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        parameters = {each["name"] for each in operation["parameters"] if each["in"] == "query" and each["required"]}
        return parameters | set(schema.get("required", ()))

    assert required("/projects", "head") == {"project_name"}
    assert required("/labels") == {"scope"}
    assert required("/projects/{project_name_or_id}/members", "post") == {"role_id"}
    assert required("/quotas/{id}", "put") == {"hard"}
    # The empty string is one of the values that these take, or they have presence.
    assert required("/robots", "post") == required("/usergroups") == required("/configurations", "put") == set()
    certificate = paths["/api/v2.0/systeminfo/getcert"]["get"]["responses"]["200"]
    assert list(certificate["content"]) == ["application/octet-stream"]


# How OpenAPI calls what the option says.
SAID = {"max_length": "maxLength", "min_length": "minLength", "minimum": "minimum", "maximum": "maximum"}


async def test_every_bound_of_a_request_that_rest_takes_is_in_the_description(api: Api) -> None:
    description = (await api.http.get("/openapi.json")).json()
    (surface,) = (each.handler for each in api.app._surfaces if each.prefix == "/api/v2.0")
    compared = 0
    for route in surface.routes:  # type: ignore[attr-defined]
        if not isinstance(route, TranscodedRoute):
            continue
        operation = description["paths"][route.path][route.method.lower()]
        shown = {each["name"]: each["schema"] for each in operation["parameters"]}
        fields = {each.name: each.field for each in route.rpc.binder.parameters}
        if route.rpc.binder.has_whole_body:
            fields |= route.rpc.binder.body_fields or {}
            shown |= operation["requestBody"]["content"]["application/json"]["schema"]["properties"]
        for name, field in fields.items():
            declared = {each.name: limit for each, limit in field.GetOptions().Extensions[bounds].ListFields()}
            for said, written in SAID.items():
                if said in declared and name not in {"page", "page_size"}:
                    assert shown[name][written] == declared[said], (route.path, name)
                    compared += 1
    assert compared > 100


async def test_every_reference_in_the_description_leads_somewhere(api: Api) -> None:
    text = (await api.http.get("/openapi.json")).text
    description = (await api.http.get("/openapi.json")).json()
    references = set(re.findall(r'"\$ref":"#/components/(\w+)/([\w.]+)"', text))
    assert references
    assert all(name in description["components"][kind] for kind, name in references)
    for path, methods in description["paths"].items():
        for operation in methods.values():
            described = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
            assert described == set(re.findall(r"\{([^}]+)\}", path))
