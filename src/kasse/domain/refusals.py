"""Every way the house says no.

A refusal names a *reason* from the table below. The reason decides the HTTP status and the coarse ``code``
that clients branch on; the message says in plain words what was expected and what came.
Source of the codes: auth reference, A-8.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_BAD = (400, "validation_error")
_FORBIDDEN = (403, "forbidden")
_MISSING = (404, "not_found")
_CONFLICT = (409, "conflict")

REASONS: dict[str, tuple[int, str]] = {
    # the request as such
    "bad_json": (400, "bad_request"),
    "bad_request": (400, "bad_request"),
    "body_too_large": (413, "bad_request"),
    "headers_too_large": (431, "bad_request"),
    "method_not_allowed": (405, "bad_request"),
    "unknown_route": _MISSING,
    "unavailable": (503, "server_error"),
    "rate_limited": (429, "too_many_requests"),
    "overloaded": (503, "server_error"),
    "server_error": (500, "server_error"),
    # who asks
    "unauthorized": (401, "unauthorized"),
    "forbidden": _FORBIDDEN,
    "missing_scope": _FORBIDDEN,
    "other_account": _FORBIDDEN,
    "not_in_production": _FORBIDDEN,
    # fields
    "wrong_type": _BAD,
    "wrong_value": _BAD,
    "missing_field": _BAD,
    "duplicate_key": _BAD,
    "unknown_currency": _BAD,
    "unknown_profile": _BAD,
    "bad_url": _BAD,
    "duplicate_line": _BAD,
    "amount_mismatch": _BAD,
    "amount_above_left": _BAD,
    "amount_sign": _BAD,
    "amount_not_positive": _BAD,
    "card_refused": _BAD,
    # things that are not there
    "account_not_found": _MISSING,
    "client_not_found": _MISSING,
    "grant_not_found": _MISSING,
    "api_key_not_found": _MISSING,
    "profile_not_found": _MISSING,
    "subscription_not_found": _MISSING,
    "delivery_not_found": _MISSING,
    "draft_not_found": _MISSING,
    "order_not_found": _MISSING,
    "line_not_found": _MISSING,
    "session_not_found": _MISSING,
    "transaction_not_found": _MISSING,
    "authorization_not_found": _MISSING,
    "entry_not_found": _MISSING,
    "comment_not_found": _MISSING,
    # the wrong moment
    "already_exists": _CONFLICT,
    "idempotency_key_reused": _CONFLICT,
    "request_under_way": _CONFLICT,
    "wrong_state": _CONFLICT,
    "wrong_status": _BAD,
    "order_not_open": _CONFLICT,
    "draft_not_open": _CONFLICT,
    "nothing_left_to_pay": _CONFLICT,
    "line_being_paid": _CONFLICT,
    "session_paid": _CONFLICT,
    "session_being_paid": _CONFLICT,
    "session_cancelled": _CONFLICT,
    "session_expired": _CONFLICT,
    "session_locked": _CONFLICT,
    "session_changed": (412, "conflict"),
    "outcome_unknown": _CONFLICT,
    "ambiguous_authorization": _CONFLICT,
    "not_payable": _CONFLICT,
    "gateway_declined": _BAD,
    "not_supported": (400, "bad_request"),
    "callback_failed": (500, "server_error"),
}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. ``path`` is a JSON Pointer into the body, or ``""`` for the whole of it."""

    path: str
    keyword: str
    message: str


@dataclass(eq=False)
class Refusal(Exception):
    """The house says no, and nothing has changed."""

    reason: str
    message: str
    path: str = ""
    more: tuple[Problem, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message

    @property
    def status(self) -> int:
        return REASONS[self.reason][0]

    @property
    def code(self) -> str:
        return REASONS[self.reason][1]

    @property
    def problems(self) -> tuple[Problem, ...]:
        return (Problem(self.path, self.reason, self.message), *self.more)
