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

_REF = "#/components/schemas/{name}"
_ERRORS = {
    400: "The request is wrong",
    401: "No valid token",
    403: "The token does not allow this",
    404: "There is no such thing",
    409: "Not possible in this state",
    413: "The body is too large",
    429: "Too many requests; Retry-After says when to try again",
    503: "Not available right now; nothing was stored",
}


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
        "responses": {"200": _response("Done", schemas[id(route.reply)] if route.reply else {}, components)},
    }
    if route.may_wait:
        waiting = "The gateway has not answered yet; an event to come has this answer's event-request-id"
        operation["responses"]["202"] = _response(waiting, schemas[id(route.reply)], components)
    for status, words in _ERRORS.items():
        operation["responses"][str(status)] = _response(words, schemas[id(ErrorBody)], components)
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
    content = {"schema": schema, "example": example(schema, components)} if schema else {"schema": {}}
    return {"description": words, "content": {"application/json": content}}


def serve(all_routes: list[Route]) -> Routes:
    """The route that serves the document."""
    declared = Routes("documentation")

    async def openapi(call: Call) -> Any:
        return document(all_routes, call.house.settings.base_url)

    declared("GET", "/openapi.json", "This document", scopes=None)(openapi)
    return declared
