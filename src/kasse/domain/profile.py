"""What a payment profile turns on. Source: checkout reference, sections 3.5 and 12."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from kasse.domain.refusals import Refusal

CARD = "dintero_psp.creditcard"
DEFAULT = "default"
"""The profile that every account has."""
MAX_PROFILES = 100
_PROVIDERS = frozenset(
    (
        *("bambora", "collector", "dintero", "dintero_psp", "instabank", "klarna", "kravia", "netaxept", "payex"),
        *("santander", "seitatech", "swish", "two", "vipps"),
    )
)
_COLOURS = ("backdrop", "primary")
_RADII = ("cardRadius", "buttonRadius")
_BYTE = r"\s*\d{1,3}\s*"
_COLOUR = re.compile(
    rf"#[0-9a-f]{{3,4}}|#[0-9a-f]{{6}}|#[0-9a-f]{{8}}|rgb\({_BYTE},{_BYTE},{_BYTE}\)"
    rf"|rgba\({_BYTE},{_BYTE},{_BYTE},\s*(?:0|1|0?\.\d{{1,4}}|1\.0)\s*\)",
    re.ASCII | re.IGNORECASE,
)
_RADIUS = re.compile(r"(?:100|\d{1,2})(?:\.\d{1,2})?(?:px)?", re.ASCII)


class Profile(msgspec.Struct, frozen=True):
    account_id: str
    id: str
    configuration: dict[str, Any]
    created_at: datetime
    name: str | None = None
    version: int = 1
    updated_at: datetime | None = None
    deleted_at: datetime | None = None
    given: dict[str, Any] = {}


def default_profile(account_id: str, now: datetime) -> Profile:
    """The profile that every account has: cards."""
    card = {"type": "payment_product_type", "enabled": True, "payability": "payable"}
    configuration = {
        "auto_capture": False,
        "channel": "ecommerce",
        "default_payment_type": CARD,
        "dintero_psp": {"type": "payment_type", "creditcard": card},
    }
    return Profile(account_id, DEFAULT, configuration, now, name="Default")


def merged(configuration: dict[str, Any], override: dict[str, Any]) -> dict[str, Any]:
    """What a session is opened with: the profile's configuration with what the request says put over it.

    Objects are merged, key by key; anything else takes the place of what was there, and null leaves it. A provider or
    product whose ``type`` is left out gets it, so that what the request enables is found. The profile's
    ``default_payment_type`` ends where the request turns that method off and names no other.
    """
    found = _over(configuration, override)
    for provider in _PROVIDERS & override.keys() & found.keys():
        if isinstance(found[provider], dict):
            found[provider] = _with_types(found[provider])
    turned_off = {*payment_methods(configuration)} - {*payment_methods(found)}
    if override.get("default_payment_type") is None and found.get("default_payment_type") in turned_off:
        del found["default_payment_type"]
    return found


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    found = dict(below)
    for key, value in above.items():
        if value is None:
            continue
        before = found.get(key)
        found[key] = _over(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return found


def _with_types(provider: dict[str, Any]) -> dict[str, Any]:
    products = {
        name: {"type": "payment_product_type", **product}
        for name, product in provider.items()
        if isinstance(product, dict) and isinstance(product.get("enabled"), bool)
    }
    return {"type": "payment_type", **provider, **products} if products else provider


_CHOICES: dict[str, tuple[Any, ...]] = {
    "auto_capture": (True, False),
    "channel": ("ecommerce", "in_app", "in_store"),
    "default_customer_type": ("b2c", "b2b"),
}


def check_configuration(configuration: dict[str, Any], path: str = "/configuration") -> None:
    """Whether a merged configuration contradicts itself (checkout reference, section 5, rule 6).

    Raises ``Refusal`` (wrong_value): a ``default_payment_type`` that is not enabled, a country that is both allowed
    and denied, an ``auto_capture`` that is neither yes nor no, a channel or type of customer that there is not, a
    colour or radius of the ``theme`` that is none (they go into the style of the payer's page), a way to ``publish``
    the link that there is not. Raises wrong_type for a provider that is no object, and for a method of one that is
    none, or whose ``enabled`` is neither yes nor no: nobody could tell whether it was meant to be on.
    """
    _check_methods(configuration, path)
    _check_theme(configuration.get("theme"), f"{path}/theme")
    _check_publish(configuration.get("publish"), f"{path}/publish")
    for name, possible in _CHOICES.items():
        said = configuration.get(name)
        if said is not None and not any(said is each or (isinstance(each, str) and said == each) for each in possible):
            expected = ", ".join(str(each).lower() if isinstance(each, bool) else each for each in possible)
            raise Refusal("wrong_value", f"expected one of {expected}, got {str(said)[:60]!r}", path=f"{path}/{name}")
    default = configuration.get("default_payment_type")
    enabled = list(payment_methods(configuration))
    if default is not None and default not in enabled and not offers_everything(configuration):
        raise Refusal(
            "wrong_value",
            f"expected default_payment_type to be one that is enabled ({', '.join(enabled) or 'none is'}), "
            f"got {str(default)[:60]!r}",
            path=f"{path}/default_payment_type",
        )
    countries = configuration.get("countries")
    if isinstance(countries, dict):
        allowed, denied = countries.get("allow_countries"), countries.get("deny_countries")
        both = [each for each in allowed or () if each in (denied or ())] if isinstance(allowed, list) else []
        if both:
            raise Refusal(
                "wrong_value",
                f"expected no country in both lists, got {str(both[0])[:10]!r}",
                path=f"{path}/countries/deny_countries",
            )


def _check_methods(configuration: dict[str, Any], path: str) -> None:
    for provider in sorted(_PROVIDERS & configuration.keys()):
        products = configuration[provider]
        if not isinstance(products, dict):
            raise _wrong_type("an object", products, f"{path}/{provider}")
        for name, settings in products.items():
            where = f"{path}/{provider}/{name}"
            if name == "type" and not isinstance(settings, str):
                raise _wrong_type("a string", settings, where)
            if name in ("type", "enabled") or isinstance(settings, str):
                continue
            if not isinstance(settings, dict):
                raise _wrong_type("an object", settings, where)
            if not isinstance(settings.get("type"), str | None):
                raise _wrong_type("a string", settings["type"], f"{where}/type")
            if not isinstance(settings.get("enabled"), bool | None):
                raise _wrong_type("true or false", settings["enabled"], f"{where}/enabled")


def _wrong_type(expected: str, got: Any, path: str) -> Refusal:
    return Refusal("wrong_type", f"expected {expected} at {path}, got {str(got)[:60]!r}", path=path)


def _check_theme(theme: Any, path: str) -> None:
    if theme is None:
        return
    if not isinstance(theme, dict):
        raise Refusal("wrong_type", f"expected an object, got {str(theme)[:60]!r}", path=path)
    for name, value in theme.items():
        if name in _COLOURS and not (isinstance(value, str) and _COLOUR.fullmatch(value)):
            message = f"expected a colour such as #1d4ed8 or rgba(29, 78, 216, 0.9), got {str(value)[:60]!r}"
        elif name in _RADII and not _is_radius(value):
            message = f"expected a radius in pixels, 0 to 100, such as 8 or '8px', got {str(value)[:60]!r}"
        else:
            continue
        raise Refusal("wrong_value", message, path=f"{path}/{name}")


_PUBLISH = {"channel": ("sms", "push"), "type": ("checkout-link", "app", "terminal")}


def _check_publish(ways: Any, path: str) -> None:
    if ways is None:
        return
    if not isinstance(ways, list) or not all(isinstance(way, dict) for way in ways):
        raise Refusal("wrong_type", f"expected a list of objects, got {str(ways)[:60]!r}", path=path)
    for n, way in enumerate(ways):
        for name, possible in _PUBLISH.items():
            if way.get(name) not in possible:
                message = f"expected one of {', '.join(possible)}, got {str(way.get(name))[:60]!r}"
                raise Refusal("wrong_value", message, path=f"{path}/{n}/{name}")


def with_publish_told(configuration: dict[str, Any]) -> dict[str, Any]:
    """The same; of each way to ``publish`` the link it says that it was skipped: messages are not sent from here."""
    ways = configuration.get("publish")
    if not ways:
        return configuration
    told = [{**way, "id": str(n), "status": "skipped"} for n, way in enumerate(ways, start=1)]
    return {**configuration, "publish": told}


def _is_radius(value: Any) -> bool:
    if isinstance(value, str):
        return _RADIUS.fullmatch(value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 100


def offers_everything(configuration: dict[str, Any]) -> bool:
    """Whether it turns on every way to pay that there is (checkout reference, 3.5)."""
    everything = configuration.get("active_payment_types")
    return isinstance(everything, dict) and everything.get("enabled") is True


def payment_methods(configuration: dict[str, Any]) -> Iterator[str]:
    """The ``payment_product_type`` of every method that a configuration enables, in its order."""
    for provider, products in configuration.items():
        if not isinstance(products, dict) or products.get("type") != "payment_type":
            continue
        for product, settings in products.items():
            if isinstance(settings, dict) and settings.get("enabled") is True:
                yield f"{provider}.{product}"
