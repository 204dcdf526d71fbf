"""What a payment profile turns on. Source: checkout reference, sections 3.5 and 12."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

CARD = "dintero_psp.creditcard"


class Profile(msgspec.Struct, frozen=True):
    account_id: str
    id: str
    configuration: dict[str, Any]
    created_at: datetime
    name: str | None = None
    version: int = 1


def default_profile(account_id: str, now: datetime) -> Profile:
    """The profile that every account has: cards."""
    card = {"type": "payment_product_type", "enabled": True, "payability": "payable"}
    configuration = {
        "auto_capture": False,
        "channel": "ecommerce",
        "default_payment_type": CARD,
        "dintero_psp": {"type": "payment_type", "creditcard": card},
    }
    return Profile(account_id, "default", configuration, now, name="Default")


def payment_methods(configuration: dict[str, Any]) -> Iterator[str]:
    """The ``payment_product_type`` of every method that a configuration enables, in its order."""
    for provider, products in configuration.items():
        if not isinstance(products, dict) or products.get("type") != "payment_type":
            continue
        for product, settings in products.items():
            if isinstance(settings, dict) and settings.get("enabled") is True:
                yield f"{provider}.{product}"
