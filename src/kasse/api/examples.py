"""Examples for the documentation, made from the schemas: what is required, and what has an example of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TEXTS = {
    "id": "BL-9",
    "currency": "NOK",
    "description": "Wool blanket",
    "return_url": "https://shop.example/thanks",
    "callback_url": "https://shop.example/callback",
    "merchant_terms_url": "https://shop.example/terms",
    "profile_id": "default",
    "merchant_reference": "web-7001",
    "grant_type": "client_credentials",
    "audience": "https://api.dintero.com/v1/accounts/T12345678",
    "card": "4000000000000002",
    "service": "warehouse",
    "service_status": "ready_for_pickup",
    "text": "Leave it with the neighbour",
    "status": "open",
    "client_id": "9b2f6a52-7c46-4f3c-9d5e-3f1c2a9f0b11",
    "token": "eyJhbGciOiJFZERTQSJ9...",
    "order_id": "K7Q2M9XAB",
    "created_at": "2026-02-03T09:00:00Z",
    "updated_at": "2026-02-03T09:00:00Z",
    "url": "https://pay.example/v1/view/T12345678.465U8CUzaPVpneu1wt8Wei",
    "href": "https://pay.example/v1/accounts/T12345678/shopping/orders/K7Q2M9XAB",
    "rel": "self",
}
_NUMBERS = {"line_id": 1, "gross_amount": 99800, "amount": 99800, "percentage": 25, "version": 1, "quantity": 1}
_OPTIONAL = ("callback_url", "merchant_terms_url", "order", "description")


def example(schema: Mapping[str, Any], components: Mapping[str, Any], name: str = "") -> Any:
    """A value that fits a schema. ``name`` is the field it is for."""
    if "$ref" in schema:
        return example(components[schema["$ref"].rpartition("/")[2]], components, name)
    if schema.get("examples"):
        return schema["examples"][0]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return example(next(each for each in schema["anyOf"] if each.get("type") != "null"), components, name)
    kind = schema.get("type")
    if kind == "object":
        return _object(schema, components)
    if kind == "array":
        return [example(schema["items"], components, name.removesuffix("s"))] if "items" in schema else []
    if kind in ("integer", "number"):
        return _NUMBERS.get(name, max(1, schema.get("minimum", 1)))
    if kind == "boolean":
        return schema.get("default", True)
    if kind == "string":
        return "2026-02-03T09:00:00Z" if schema.get("format") == "date-time" else _TEXTS.get(name, name or "text")
    return {}


def _object(schema: Mapping[str, Any], components: Mapping[str, Any]) -> dict[str, Any]:
    wanted = {*schema.get("required", ()), *_OPTIONAL}
    return {
        name: example(field, components, name) for name, field in schema.get("properties", {}).items() if name in wanted
    }
