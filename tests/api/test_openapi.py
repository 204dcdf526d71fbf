"""The OpenAPI document: valid, complete, and true enough that generated requests meet no error of the server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.specs.openapi.definitions import OPENAPI_31

from kasse.api.routes import Route
from kasse.domain.refusals import REASONS
from kasse.main import declared
from tests.running import SCOPES, Json, Running, Shop, line

ROUTES = declared()


@pytest.fixture(scope="module")
def document(server: Running) -> Json:
    answer = requests.get(f"{server.base_url}/openapi.json", timeout=20)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/json")
    found: Json = answer.json()
    return found


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, found in document["paths"].items():
        for method, operation in found.items():
            yield method.upper(), path, operation


def test_the_document_is_valid_openapi_3_1(document: Json) -> None:
    assert document["openapi"].startswith("3.1.")
    jsonschema_rs.Draft202012Validator(OPENAPI_31).validate(document)
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


def test_every_declared_route_is_in_it_and_no_other(document: Json) -> None:
    assert {(method, path) for method, path, _ in operations(document)} == {
        (route.method, route.path) for route in ROUTES
    }


def test_every_operation_says_what_it_takes_and_answers(document: Json) -> None:
    found = list(operations(document))
    assert len({operation["operationId"] for _, _, operation in found}) == len(found)
    by_route = {(route.method, route.path): route for route in ROUTES}
    for method, path, operation in found:
        route = by_route[method, path]
        assert len(operation["summary"]) >= 8
        assert operation["description"]
        assert operation["tags"]
        in_path = [each["name"] for each in operation["parameters"] if each["in"] == "path"]
        assert in_path == re.findall(r"{(\w+)}", path)
        assert ("security" in operation) == (route.scopes is not None)
        assert ("requestBody" in operation) == (route.body is not None)
        for scope in route.scopes or ():
            assert scope in operation["description"]
        statuses = {"400", "500", "503"} | ({"200"} if route.reply else set()) | ({"204"} if route.empty else set())
        statuses |= {"401", "403", "429"} if route.scopes else set()
        statuses |= {"409"} if route.scopes and method in ("POST", "PUT") else set()
        statuses |= {"413"} if method in ("POST", "PUT") else set()
        statuses |= {str(REASONS[reason][0]) for reason in route.refusals}
        assert statuses <= operation["responses"].keys()


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_example_fits_its_schema(document: Json, route: Route) -> None:
    """Of the request, of the answer and of every refusal."""
    operation = document["paths"][route.path][route.method.lower()]
    contents = [("body", operation["requestBody"]["content"])] if route.body else []
    contents += [
        (status, answer["content"]) for status, answer in operation["responses"].items() if "content" in answer
    ]
    assert route.reply is None or "200" in operation["responses"]
    for what, content in contents:
        described = content["application/json"]
        schema = {**described["schema"], "components": document["components"]}
        jsonschema_rs.Draft202012Validator(schema).validate(described["example"])
        if what.startswith(("4", "5")):
            assert described["schema"]["$ref"].endswith("/ErrorBody")
            [problem] = described["example"]["error"]["errors"]
            assert str(REASONS[problem["keyword"]][0]) == what


def test_lists_declare_their_pages(document: Json) -> None:
    for path in ("orders", "orders/{order_id}/sessions"):
        operation = document["paths"][f"/v1/accounts/{{aid}}/shopping/{path}"]["get"]
        assert {"limit", "starting_after"} <= {each["name"] for each in operation["parameters"]}


def test_every_reference_leads_somewhere(document: Json) -> None:
    for reference in set(re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', json.dumps(document))):
        assert reference in document["components"]["schemas"]


@pytest.fixture(scope="module")
def shop(server: Running) -> Shop:
    return server.shop(*SCOPES, "admin:hooks")


@pytest.fixture(scope="module")
def ids(shop: Shop) -> dict[str, str]:
    """One of everything, so that half of the generated requests get further than "not found"."""
    draft = shop.ok("POST", "draft_orders", {"order": {"currency": "NOK", "items": [line(1, 1000)]}})
    order = shop.ok("POST", "orders", {"currency": "NOK", "items": [line(1, 1000), line(2, 500)], **OWNERS})
    session = shop.session(order)
    paid = shop.pay(shop.session(order, 2))
    [authorization] = shop.read_order(order)["authorizations"]
    return {
        "aid": shop.account_id,
        "draft_id": draft["id"],
        "order_id": order["order_id"],
        "session_id": session["id"],
        "transaction_id": paid["transaction_id"],
        "line_id": "1",
        "customer_id": "c-1",
        "store_id": "oslo",
        "entry_id": authorization["id"],
        "comment_id": shop.ok("POST", f"orders/{order['id']}/comments", {"text": "x"})["id"],
        "payment_product_type": "dintero_psp.creditcard",
    }


OWNERS = {"customer": {"id": "c-1"}, "store": {"id": "oslo"}}
ONES: dict[str, tuple[str, Json, str]] = {
    "api-keys/{api_key_id}": ("/v1/admin/api-keys", {"name": "k"}, "id"),
    "auth/clients/{id}": ("/v1/accounts/{aid}/auth/clients", {"name": "k"}, "client_id"),
    "subscriptions/{hid}": (
        *("/v1/accounts/{aid}/hooks/subscriptions",),
        {
            "config": {"url": "http://127.0.0.1:1/hook", "content_type": "application/json"},
            "events": ["shopping_order_add"],
        },
        "id",
    ),
}


@pytest.fixture
def known(shop: Shop, ids: dict[str, str], route: Route) -> dict[str, str]:
    """What the address of a route names; what a request may end for good is a new one each time."""
    found = {**ids, **({"profile_id": "default"} if route.method == "GET" else {"profile_id": "generated"})}
    for part, (path, body, id) in ONES.items():
        if part in route.path:
            made = shop.ok("POST", path.format(aid=shop.account_id), body)
            found[re.findall(r"{(\w+)}", part)[0]] = made[id]
            deliveries = f"/v1/accounts/{shop.account_id}/hooks/subscriptions/{made['id']}/deliveries"
            if "{delivery_id}" in route.path:
                found["delivery_id"] = shop.call("GET", deliveries).json()[0]["id"]
    return {name: found[name] for name in re.findall(r"{(\w+)}", route.path) if name in found}


@pytest.fixture(scope="module")
def schema(server: Running) -> Any:
    return schemathesis.openapi.from_url(f"{server.base_url}/openapi.json")


# Without token, parameters and body there is nothing that a request could get wrong.
GENERATED = [
    pytest.param(route, mode, id=f"{route.method} {route.path} {mode.value}")
    for route in ROUTES
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    if mode is GenerationMode.POSITIVE or route.body or route.query or ("{" in route.path and route.scopes)
]


@pytest.mark.slow
@pytest.mark.parametrize(("route", "mode"), GENERATED)
def test_generated_requests_meet_no_error_of_the_server(
    schema: Any, shop: Shop, known: dict[str, str], route: Route, mode: GenerationMode
) -> None:
    operation = schema[route.path][route.method]
    checks = [
        *(not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance),
    ]

    @settings(
        max_examples=4,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode, path_parameters=known or None))
    def send(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(session=shop.http, checks=checks, timeout=20)

    send()
