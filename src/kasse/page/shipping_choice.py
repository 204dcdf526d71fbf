"""Ways of shipping as the payer chooses among them: those of equal ``id`` together, such as the times of one carrier.

Source: checkout reference, section 3.4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from kasse.domain import express as rules
from kasse.domain.express import Option
from kasse.domain.session import PaymentSession
from kasse.page.languages import days_text, number_text, times_text

_IN_SIGHT = 4


@dataclass(frozen=True)
class OptionView:
    """One to choose. ``key`` is its ``line_id``, ``details`` what there is to say besides its title and price."""

    key: str
    title: str
    price: str
    details: tuple[str, ...] = ()
    chosen: bool = False


@dataclass(frozen=True)
class GroupView:
    """``title`` is empty where there is one option only. Those behind ``in_sight`` unfold."""

    title: str
    options: tuple[OptionView, ...]
    in_sight: int
    unfolded: bool = False


def group_views(session: PaymentSession, texts: Mapping[str, str], language: str, prices: Any) -> tuple[GroupView, ...]:
    """What is on offer; ``prices`` writes an amount in minor units."""
    chosen = session.checkout_order.get("shipping_option")
    key = str(chosen["line_id"]) if chosen else None
    return tuple(_group(group, key, texts, language, prices) for group in rules.grouped(rules.offered(session)))


def _group(
    group: Sequence[Option], chosen: str | None, texts: Mapping[str, str], language: str, prices: Any
) -> GroupView:
    alike = len({each.get("title") for each in group}) == 1
    options = tuple(
        _option(each, chosen, texts, language, prices, in_group=len(group) > 1, alike=alike) for each in group
    )
    if len(options) == 1:
        return GroupView("", options, 1)
    in_sight = len(options) if len(options) <= _IN_SIGHT + 1 else _IN_SIGHT
    unfolded = any(each.chosen for each in options[in_sight:])
    return GroupView(_group_title(group, alike, texts), options, in_sight, unfolded)


def _group_title(group: Sequence[Option], alike: bool, texts: Mapping[str, str]) -> str:
    if alike and _text(group[0].get("title")):
        return _text(group[0]["title"])
    operators = {_text(each.get("operator")) for each in group}
    if len(operators) == 1 and operators != {""}:
        return operators.pop()
    pick_up = all(each.get("delivery_method") == "pick_up" or each.get("pick_up_address") for each in group)
    return texts["express_pick_up" if pick_up else "express_delivery"]


def _option(
    option: Option,
    chosen: str | None,
    texts: Mapping[str, str],
    language: str,
    prices: Any,
    *,
    in_group: bool,
    alike: bool,
) -> OptionView:
    key, amount = str(option["line_id"]), option["amount"]
    slot, place = _slot(option.get("time_slot"), language), _place(option.get("pick_up_address"), texts, language)
    title = _text(option.get("title")) or str(option["id"])
    operator = _text(option.get("operator"))
    details = [
        "" if in_group or operator.casefold() in title.casefold() else operator,
        _text(option.get("description")),
        slot,
        *place,
        _eta(option.get("eta"), texts, language),
        _text(_object(option.get("environmental_data")).get("description")),
    ]
    if in_group and alike:
        # The group has the title already: what tells them apart comes first.
        own = [each for each in (slot, *place[:1]) if each]
        title = " · ".join(own) or _text(option.get("description")) or title
        details = [each for each in details if each not in own and each != title]
    price = texts["express_free"] if amount == 0 else prices(amount)
    return OptionView(key, title, price, tuple(each for each in details if each), key == chosen)


def _place(address: Any, texts: Mapping[str, str], language: str) -> tuple[str, ...]:
    address = _object(address)
    if not address:
        return ()
    street = ", ".join(
        each
        for each in (
            _text(address.get("address_line")),
            f"{_text(address.get('postal_code'))} {_text(address.get('postal_place'))}".strip(),
        )
        if each
    )
    distance = address.get("distance")
    far = (
        texts["express_distance"].format(distance=number_text(Decimal(str(distance)), language))
        if isinstance(distance, int | float) and not isinstance(distance, bool)
        else ""
    )
    return tuple(each for each in (_text(address.get("business_name")), street, far) if each)


def _slot(slot: Any, language: str) -> str:
    starts, ends = _time(_object(slot).get("starts_at")), _time(_object(slot).get("ends_at"))
    if starts is None or ends is None:
        return ""
    if starts.date() != ends.date():
        return days_text(starts.date(), ends.date(), language)
    return times_text(starts, ends, language)


def _eta(eta: Any, texts: Mapping[str, str], language: str) -> str:
    eta = _object(eta)
    starts, ends = _time(eta.get("starts_at")), _time(eta.get("ends_at"))
    first, last = starts or ends, ends or starts
    if first is not None and last is not None:
        return texts["express_arrives"].format(when=days_text(first.date(), last.date(), language))
    days = eta.get("working_days")
    if isinstance(days, list) and 1 <= len(days) <= 2 and all(isinstance(each, int) for each in days):
        span = str(days[0]) if days[0] == days[-1] else f"{days[0]}\N{EN DASH}{days[-1]}"
        return texts["express_days"].format(days=span)
    return ""


def _time(value: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""
