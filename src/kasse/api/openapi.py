"""The OpenAPI document, made from the declarations of the routes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from kasse import __version__
from kasse.api.examples import example
from kasse.api.routes import Call, Route, Routes
from kasse.api.wire import ErrorBody
from kasse.domain.refusals import REASONS

_REF = "#/components/schemas/{name}"
_ERRORS = {
    400: "The request is wrong",
    401: "No valid token",
    403: "The token does not allow this",
    404: "There is no such thing",
    409: "Not possible in this state",
    412: "Something else by now",
    413: "The body is too large",
    429: "Too many requests; Retry-After says when to try again",
    500: "A mistake of this server's, or of one that it had to ask",
    503: "Not available right now; nothing was stored",
}
_WAITING = "The gateway has not answered yet; the answer says how to learn what comes of it"
_NOT_FOUND = {
    "draft_id": "draft_not_found",
    "line_id": "line_not_found",
    "order_id": "order_not_found",
    "entry_id": "entry_not_found",
    "comment_id": "comment_not_found",
    "session_id": "session_not_found",
    "transaction_id": "transaction_not_found",
}
"""What a wrong id in the address is called; routes declare the others."""


def document(all_routes: Iterable[Route], server: str) -> dict[str, Any]:
    """OpenAPI 3.1 of all operations."""
    all_routes = list(all_routes)
    types: list[Any] = [ErrorBody]
    types += [type_ for route in all_routes for type_ in (route.body, route.reply) if type_ is not None]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    by_type = dict(zip(map(id, types), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in all_routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, by_type, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Kasse", "version": __version__, "license": {"name": "Apache-2.0"}},
        "servers": [{"url": server}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "basic": {"type": "http", "scheme": "basic"},
                "api_key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


def refusals(route: Route) -> dict[int, list[str]]:
    """Every status with which an operation may refuse, and the reasons for it that one can name beforehand."""
    reasons = ["wrong_value", "server_error", "unavailable", *route.refusals]
    reasons += [_NOT_FOUND[name] for name in re.findall(r"{(\w+)}", route.path) if name in _NOT_FOUND]
    if route.scopes is not None:
        reasons += ["unauthorized", "missing_scope", "rate_limited"]
    if route.method in ("POST", "PUT"):
        reasons += ["body_too_large"]
        reasons += ["wrong_state", "request_under_way"] if route.scopes is not None else []
    found: dict[int, list[str]] = {}
    for reason in dict.fromkeys(reasons):
        found.setdefault(REASONS[reason][0], []).append(reason)
    return dict(sorted(found.items()))


def statuses(route: Route) -> set[int]:
    """Every status that an operation may answer."""
    done = {200} if route.reply is not None else set()
    return done | ({202} if route.may_wait else set()) | ({204} if route.empty else set()) | {*refusals(route)}


def _operation(route: Route, schemas: dict[int, Any], components: dict[str, Any]) -> dict[str, Any]:
    handler = f"{route.tag}_{route.method}_{route.path}"
    operation: dict[str, Any] = {
        "operationId": re.sub(r"[^A-Za-z0-9]+", "_", handler).strip("_").lower(),
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": _parameter(name)}
            for name in re.findall(r"{(\w+)}", route.path)
        ]
        + [{"name": name, "in": "query", "schema": schema} for name, schema in route.query.items()],
        "responses": {},
        "description": "Needs no token.",
    }
    if route.reply is not None:
        operation["responses"]["200"] = _response("Done", schemas[id(route.reply)], components)
    if route.may_wait:
        operation["responses"]["202"] = _response(_WAITING, schemas[id(route.reply)], components)
    if route.empty:
        operation["responses"]["204"] = {"description": route.empty}
    for status, reasons in refusals(route).items():
        operation["responses"][str(status)] = _refused(status, reasons, schemas[id(ErrorBody)])
    if route.scopes is not None:
        operation["security"] = [{"bearer": []}, *([{"api_key": []}] if "admin:checkout" in route.scopes else [])]
        operation["description"] = f"Needs the scope {' or '.join(route.scopes)}."
    if route.body is not None:
        schema = schemas[id(route.body)]
        content = {"application/json": {"schema": schema, "example": example(schema, components)}}
        operation["requestBody"] = {"required": route.body_required, "content": content}
    return operation


def _parameter(name: str) -> dict[str, Any]:
    return {"type": "string", "pattern": r"^[PT]\d{8}$"} if name == "aid" else {"type": "string"}


def _response(words: str, schema: Any, components: dict[str, Any]) -> dict[str, Any]:
    content = {"schema": schema, "example": example(schema, components)}
    return {"description": words, "content": {"application/json": content}}


def _refused(status: int, reasons: list[str], schema: Any) -> dict[str, Any]:
    words, reason = _ERRORS[status], reasons[-1]
    problem = {"path": "", "keyword": reason, "message": words}
    body = {"error": {"code": REASONS[reason][1], "message": words, "errors": [problem]}}
    content = {"application/json": {"schema": schema, "example": body}}
    return {"description": f"{words}: {', '.join(reasons)}", "content": content}


def serve(all_routes: list[Route]) -> Routes:
    """The route that serves the document."""
    declared = Routes("documentation")

    async def openapi(call: Call) -> Any:
        return document(all_routes, call.house.settings.base_url)

    declared("GET", "/openapi.json", "This document", scopes=None, reply=dict[str, Any])(openapi)
    return declared
