"""A payment session: opened from chosen lines of an order, or carrying an order of its own.

Source: orders reference, section 7 and O-3, O-22, O-23; checkout reference, sections 3 to 6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec

from kasse.domain import checkout
from kasse.domain.history import OrderState
from kasse.domain.ledger import LineAmount, check_amount, check_splits, line_not_found
from kasse.domain.order import Order, require_order_open
from kasse.domain.refusals import Refusal
from kasse.domain.times import rfc3339

SessionStatus = Literal["open", "paying", "on_hold", "paid", "failed", "cancelled", "expired"]
LIFETIME = timedelta(hours=24)
LOCK_LIFETIME = timedelta(minutes=10)
"""A lock that nobody takes off lapses, so that a payer is not kept out by a merchant whose server went away."""

STEPS: dict[SessionStatus, frozenset[SessionStatus]] = {
    "open": frozenset({"paying", "cancelled", "expired"}),
    "paying": frozenset({"open", "on_hold", "paid"}),
    "on_hold": frozenset({"paid", "failed"}),
    "paid": frozenset({"cancelled"}),  # cancelling a session voids an authorization that is not captured
    "failed": frozenset(),
    "cancelled": frozenset(),
    "expired": frozenset(),
}
"""The life of a session. ``paying`` lasts from the payer's start until the gateway's answer is known; ``on_hold`` is
one whose payer is done, but not whoever has to look at his payment first."""


class SessionEvent(msgspec.Struct, frozen=True):
    """Something that happened to a session, by the names of the checkout reference, section 4."""

    id: str
    name: str
    created_at: datetime
    request_id: str
    details: dict[str, Any] = {}
    request_headers: dict[str, str] = {}


class SessionUrl(msgspec.Struct, frozen=True, omit_defaults=True):
    return_url: str
    callback_url: str | None = None
    merchant_terms_url: str | None = None


class PayLock(msgspec.Struct, frozen=True):
    """The page stands still while the merchant changes the session (checkout reference, 6.2)."""

    id: str
    started_at: datetime


class PaymentSession(msgspec.Struct, frozen=True):
    """A session. ``amount`` and the items' amounts are minor units of ``currency``.

    ``configuration`` is the profile's, with what the request said over it, as they were when the session was opened.
    ``request_headers`` are those of the system that opened it. ``order`` is the internal id of the order it was opened
    for, None when it carries an order of its own.
    ``checkout_order`` is the order as the checkout side shows it: amount, currency, merchant_reference, items.
    ``transaction_id`` names the one payment that is under way or has succeeded, ``order_version`` the version of the
    order that the session was opened for.
    """

    account_id: str
    id: str
    items: tuple[LineAmount, ...]
    amount: int
    currency: str
    url: SessionUrl
    profile_id: str
    checkout_order: dict[str, Any]
    created_at: datetime
    created_by: str
    updated_at: datetime
    expires_at: datetime
    order: str | None = None
    order_id: str | None = None
    status: SessionStatus = "open"
    transaction_id: str | None = None
    events: tuple[SessionEvent, ...] = ()
    configuration: dict[str, Any] = {}
    given: dict[str, Any] = {}
    request_headers: dict[str, str] = {}
    last_error: str | None = None
    pay_lock: PayLock | None = None
    customer_ip: str | None = None
    user_agent: str | None = None
    cancelled_at: datetime | None = None
    cancelled_by: str | None = None
    version: int = 1
    order_version: int = 0

    @property
    def merchant_reference(self) -> str:
        return str(self.checkout_order["merchant_reference"])

    @property
    def payer_name(self) -> str | None:
        """First and last name, from the first address that has both."""
        for place in ("shipping_address", "billing_address"):
            address = self.checkout_order.get(place) or {}
            if address.get("first_name") and address.get("last_name"):
                return f"{address['first_name']} {address['last_name']}"
        return None

    @property
    def capture_error(self) -> str | None:
        """What a payer who has paid brings to the shop besides, if what was to be captured by itself was refused: he is
        authorized all the same (checkout reference, 6.4)."""
        return "capture" if self.last_error == "capture" else None


class ChosenItem(msgspec.Struct, frozen=True):
    """A line that a session shall pay; without ``amount``, all that is left of it. ``given`` is what else was sent."""

    line_id: int
    amount: int | None = None
    given: dict[str, Any] = {}


def require_current(session: PaymentSession, order: Order) -> None:
    """Raises ``Refusal`` (session_cancelled) when the order was replaced after the session was opened for it."""
    if session.order_version < order.replaced:
        raise Refusal(
            "session_cancelled",
            f"expected a session for what order {order.order_id} holds now, it was replaced after session {session.id} "
            "was opened",
        )


def choose(state: OrderState, items: Sequence[ChosenItem]) -> tuple[LineAmount, ...]:
    """Say what a new session asks for each chosen line. Opening claims nothing.

    Raises ``Refusal``: order_not_open, line_not_found, duplicate_line, nothing_left_to_pay, amount_sign,
    amount_above_left.
    """
    require_order_open(state.order)
    chosen: dict[int, LineAmount] = {}
    for n, item in enumerate(items):
        if item.line_id in chosen:
            raise Refusal(
                "duplicate_line",
                f"expected each line once, got line {item.line_id} again",
                path=f"/items/{n}/line_id",
            )
        sums = state.sums.get(item.line_id)
        if sums is None:
            raise line_not_found(item.line_id, f"/items/{n}/line_id")
        if sums.payable == 0 and not item.amount:
            # A line that costs nothing, such as free freight, goes along with the others.
            chosen[item.line_id] = LineAmount(item.line_id, 0)
            continue
        if sums.left_to_pay == 0:
            raise Refusal(
                "nothing_left_to_pay",
                f"line {item.line_id} has nothing left to pay, all {sums.payable} of it is authorized",
                path=f"/items/{n}",
            )
        amount = sums.left_to_pay if item.amount is None else item.amount
        check_amount("authorization", sums, amount, sums.left_to_pay, f"/items/{n}/amount")
        if item.given.get("splits") is not None:
            check_splits((split["amount"] for split in item.given["splits"]), amount, f"/items/{n}/splits")
        chosen[item.line_id] = LineAmount(item.line_id, amount)
    return tuple(chosen.values())


def check_claim(state: OrderState, items: Sequence[LineAmount]) -> None:
    """Whether a payment of these items may start: they are neither paid nor being paid by someone else.

    Raises ``Refusal``: order_not_open, nothing_left_to_pay, line_being_paid.
    """
    require_order_open(state.order)
    for item in items:
        sums = state.sums.get(item.line_id)
        if sums is None:
            raise line_not_found(item.line_id, "")
        if abs(item.amount) > abs(sums.left_to_pay):
            raise Refusal(
                "nothing_left_to_pay",
                f"line {item.line_id} has {sums.left_to_pay} left to pay, this session asks for {item.amount}: "
                "it has been paid in another session",
            )
        if abs(item.amount) > abs(sums.left_to_claim):
            raise Refusal(
                "line_being_paid",
                f"line {item.line_id} has {sums.left_to_pay} left to pay, of which {sums.claimed} is being paid "
                f"right now in another session; this session asks for {item.amount}",
            )


def status_at(session: PaymentSession, now: datetime) -> SessionStatus:
    """The session's status, expiry considered: only a session that nobody is paying can run out."""
    if session.status == "open" and now >= session.expires_at:
        return "expired"
    return session.status


_NOT_PAYABLE: Mapping[SessionStatus, tuple[str, str]] = {
    "paid": ("session_paid", "is already paid"),
    "paying": ("session_being_paid", "is being paid right now"),
    "on_hold": ("session_paid", "is paid, and waits for the payment to be confirmed"),
    "failed": ("session_paid", "has ended without payment"),
    "cancelled": ("session_cancelled", "is cancelled"),
    "expired": ("session_expired", "has expired"),
}


def require_payable(session: PaymentSession, now: datetime) -> None:
    """Raises ``Refusal``: session_paid, session_being_paid, session_cancelled, session_expired, session_locked."""
    require_open(session, now)
    if lock_at(session, now) is not None:
        raise Refusal(
            "session_locked",
            f"expected a session that nobody changes right now, session {session.id} is locked by its merchant's page",
        )


def require_open(session: PaymentSession, now: datetime) -> None:
    """Raises ``Refusal``: session_paid, session_being_paid, session_cancelled, session_expired."""
    status = status_at(session, now)
    if status != "open":
        reason, words = _NOT_PAYABLE[status]
        raise Refusal(reason, f"expected a session that is open for payment, session {session.id} {words}")


def lock_at(session: PaymentSession, now: datetime) -> PayLock | None:
    """The pay lock, unless it has lapsed or there is nothing left to lock."""
    lock = session.pay_lock
    if lock is None or session.status != "open":
        return None
    return None if now >= lock.started_at + LOCK_LIFETIME else lock


def require_shipping(session: PaymentSession) -> None:
    """An express session can be paid once its address is there and its shipping chosen (checkout reference, section 5,
    rule 7).

    Raises ``Refusal`` (not_payable).
    """
    express = session.given.get("express")
    if not isinstance(express, dict) or express.get("shipping_mode") == "shipping_not_required":
        return
    if not session.checkout_order.get("shipping_address"):
        raise Refusal("not_payable", f"expected a shipping address, express session {session.id} has none yet")
    offered = express.get("shipping_options") or express.get("shipping_address_callback_url")
    if offered and session.checkout_order.get("shipping_option") is None:
        raise Refusal("not_payable", f"expected a chosen shipping option, express session {session.id} has none yet")


def step(
    session: PaymentSession,
    status: SessionStatus,
    event: SessionEvent,
    **changes: Any,
) -> PaymentSession:
    """Move a session on and note it. Raises ``ValueError`` for a step that the table does not have."""
    if status not in STEPS[session.status]:
        raise ValueError(f"a session cannot go from {session.status} to {status}")
    return note(msgspec.structs.replace(session, status=status, **changes), event)


def expired(session: PaymentSession, now: datetime) -> PaymentSession:
    """An open session whose time is over. The wire has no event for that: clients read ``expires_at``."""
    updated_at = max(now, session.updated_at + timedelta(milliseconds=1))
    return msgspec.structs.replace(
        session, status="expired", pay_lock=None, updated_at=updated_at, version=session.version + 1
    )


def note(session: PaymentSession, *events: SessionEvent) -> PaymentSession:
    """Add events to the session's own history.

    ``updated_at`` never stands still, not even on a stopped clock: it is what a reader's ``If-Unmodified-Since`` names.
    """
    updated_at = max(events[-1].created_at, session.updated_at + timedelta(milliseconds=1))
    return msgspec.structs.replace(
        session, events=(*session.events, *events), updated_at=updated_at, version=session.version + 1
    )


def with_order(session: PaymentSession, order: Mapping[str, Any]) -> PaymentSession:
    """The session with another checkout order, and what that costs; it becomes the next version with what is noted."""
    changed = dict(order)
    if changed.get("items"):
        before = session.checkout_order.get("items") or ()
        changed["items"] = checkout.with_versions(changed["items"], before, session.version + 1)
    return msgspec.structs.replace(session, checkout_order=changed, amount=changed["amount"])


def require_unmodified(session: PaymentSession, since: datetime | int | None) -> None:
    """Whether the session still is what the reader saw, by its ``updated_at`` or its version; None asks for nothing.

    Raises ``Refusal`` (session_changed). Source: checkout reference, section 2, rows 20 to 23.
    """
    same = since is None or since == (session.version if isinstance(since, int) else session.updated_at)
    if not same:
        raise Refusal(
            "session_changed",
            f"expected If-Unmodified-Since to be the session's updated_at, {rfc3339(session.updated_at)}: it has "
            "changed, read it again",
        )
