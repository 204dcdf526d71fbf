"""Which calls an event owes to the merchant, how they are signed, and when to try again.

Source: checkout reference, sections 6.4 and 9; auth reference, section 12.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from urllib.parse import parse_qsl, quote, quote_plus, urlencode, urlsplit, urlunsplit

import msgspec

from kasse.domain.times import rfc3339

DeliveryStatus = Literal["waiting", "delivered", "failed"]
MAX_RETRIES = 20
MAX_DELAY_S = 60
TIMEOUT_S = 10
FIRST_PAUSE_S = 5
LONGEST_PAUSE_S = 4 * 3600


class Delivery(msgspec.Struct, frozen=True):
    """One call owed to a merchant. ``receiver`` is where it goes, by scheme, host and port.

    ``attempts`` counts the tries made, ``round_from`` those before somebody asked to send it again; ``due_at`` is when
    the next one is due. A call to a webhook names its ``subscription_id``, what it tells of as ``subject`` and, for an
    order's event, its number ``seq``. ``transaction_event_id`` is the event of a payment that a callback tells of.
    """

    account_id: str
    id: str
    session_id: str
    transaction_id: str | None
    method: Literal["GET", "POST"]
    url: str
    receiver: str
    created_at: datetime
    due_at: datetime
    event: str
    includes_session: bool = False
    status: DeliveryStatus = "waiting"
    attempts: int = 0
    version: int = 1
    transaction_event_id: str | None = None
    subscription_id: str | None = None
    subject: str | None = None
    seq: int = 0
    error: str | None = None
    round_from: int = 0


class Attempt(msgspec.Struct, frozen=True):
    """One try. ``status_code`` is the receiver's, None when there was no answer; then ``error`` says why."""

    account_id: str
    delivery_id: str
    number: int
    started_at: datetime
    duration_ms: int
    status_code: int | None = None
    error: str | None = None


@dataclass(frozen=True)
class Switches:
    """What a merchant asks for in the query of his callback URL (checkout reference, section 9)."""

    method: Literal["GET", "POST"]
    includes_session: bool
    report_error: bool
    delay: timedelta
    report_events: frozenset[str]
    session_parameter: str


@dataclass(frozen=True)
class Occasion:
    """What is to be told: the payment ended (``error`` None or its name), or a later ``event`` came.

    ``told_before`` when the merchant has heard that the payment is on hold: then he hears how it ended, error or not.
    ``on_hold`` where the payment waits for somebody to confirm it; ``transaction_event_id`` is the event it tells of.
    """

    session_id: str
    merchant_reference: str
    time: datetime
    transaction_id: str | None = None
    error: str | None = None
    event: str | None = None
    event_id: str | None = None
    told_before: bool = False
    on_hold: bool = False
    transaction_event_id: str | None = None


TOLD: Mapping[str, str] = {"authorized": "AUTH_CALLBACK_SENT", "on_hold": "ON_HOLD_CALLBACK_SENT"}
"""The event of the session after a callback has been heard, by what it told."""


def switches(callback_url: str) -> Switches:
    """Read the switches; unknown ones and unusable values are the merchant's own and change nothing."""
    query = parse_qsl(urlsplit(callback_url).query, keep_blank_values=True)
    last = dict(query)
    delay = last.get("delay_callback", "")
    seconds = min(int(delay), MAX_DELAY_S) if delay.isascii() and delay.isdigit() and len(delay) < 10 else 0
    parameter = last.get("sid_parameter_name", "")
    return Switches(
        method="POST" if last.get("method", "").upper() == "POST" else "GET",
        includes_session="session" in (value for name, value in query if name == "includes"),
        report_error=last.get("report_error") == "true",
        delay=timedelta(seconds=seconds),
        report_events=frozenset(value.upper() for name, value in query if name == "report_event"),
        session_parameter=parameter if parameter in ("sid", "session_id") else "session_id",
    )


def owed(asked: Switches, occasion: Occasion) -> bool:
    """Whether the merchant wants to hear of this."""
    if occasion.event is not None:
        return occasion.event in asked.report_events
    return occasion.error is None or occasion.told_before or asked.report_error


def delivery(account_id: str, id: str, callback_url: str, occasion: Occasion, now: datetime) -> Delivery | None:
    """The call that an occasion owes, or None where the merchant did not ask for one."""
    asked = switches(callback_url)
    if not owed(asked, occasion):
        return None
    added = {
        "transaction_id": occasion.transaction_id,
        asked.session_parameter: occasion.session_id,
        "merchant_reference": occasion.merchant_reference,
        "time": rfc3339(occasion.time),
        "error": occasion.error,
        "event": occasion.event,
        "event_id": occasion.event_id,
    }
    url = as_sent(with_parameters(callback_url, added.items()))
    return Delivery(
        account_id=account_id,
        id=id,
        session_id=occasion.session_id,
        transaction_id=occasion.transaction_id,
        method=asked.method,
        url=url,
        receiver=receiver_of(url),
        created_at=now,
        due_at=now + asked.delay,
        event=occasion.event or occasion.error or ("on_hold" if occasion.on_hold else "authorized"),
        includes_session=asked.includes_session,
        transaction_event_id=occasion.transaction_event_id,
    )


def receiver_of(url: str) -> str:
    """Where a URL leads, by scheme, host and port: what shares one queue."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}"


def return_href(return_url: str, merchant_reference: str, transaction_id: str | None, error: str | None) -> str:
    """Where the payer's browser goes in the end; the merchant's own query stays (checkout reference, 6.4).

    ``transaction_id`` is told on success and with the error ``capture``.
    """
    if error is not None and error != "capture":
        transaction_id = None
    added = {"merchant_reference": merchant_reference, "transaction_id": transaction_id, "error": error}
    return with_parameters(return_url, added.items())


def with_parameters(url: str, parameters: Iterable[tuple[str, str | None]]) -> str:
    """Append query parameters, those that have a value, and leave the rest of the URL as it is."""
    query = urlencode([(name, value) for name, value in parameters if value is not None])
    rest, mark, fragment = url.partition("#")
    path, _, own = rest.partition("?")
    between = "&" if own and not own.endswith("&") else ""
    return f"{path}?{own}{between}{query}{mark}{fragment}"


def as_sent(url: str) -> str:
    """The form in which a URL travels: the host in ASCII, and what may not stand in a URL percent-encoded.

    Receivers check the signature of the URL that reaches them, and their libraries would write the rest so.
    """
    parts = urlsplit(url)
    login, at, place = parts.netloc.rpartition("@")
    host, colon, port = place.partition(":")
    parts = parts._replace(netloc=login + at + _ascii_host(host) + colon + port)
    return quote(urlunsplit(parts), safe=_URL_CHARACTERS)


def _ascii_host(host: str) -> str:
    """A name in its ASCII form. What is no name stays as it is, and cannot be called."""
    try:
        encoded = host.encode("idna").decode()
    except UnicodeError:
        return host
    return encoded if _HOST.fullmatch(encoded) else host


_HOST = re.compile(r"[a-z0-9._-]+", re.ASCII | re.IGNORECASE)
_URL_CHARACTERS = "%:/?#[]@!$&'()*+,;=-._~"


def signature(secret: str, timestamp: int, account_id: str, method: str, url: str) -> str:
    """The value of ``Dintero-Signature`` for a call (checkout reference, 9.1)."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    lines = (
        str(timestamp),
        account_id,
        method,
        f"[{host}]" if ":" in host else host,
        parts.path or "/",
        _sorted_query(parts.query),
    )
    digest = hmac.new(secret.encode(), "\n".join(lines).encode(), hashlib.sha256).hexdigest()
    return f"t={timestamp},v0-hmac-sha256={digest}"


def _sorted_query(query: str) -> str:
    """Sort by name and encode as ``URLSearchParams`` does: ``*`` stays, ``~`` does not."""
    pairs = sorted(parse_qsl(query, keep_blank_values=True), key=lambda pair: pair[0].encode("utf-16-be"))
    return "&".join(f"{_form_encoded(name)}={_form_encoded(value)}" for name, value in pairs)


def _form_encoded(text: str) -> str:
    return quote_plus(text, safe="*").replace("~", "%7E")


def outcome(status_code: int | None) -> Literal["delivered", "again", "refused"]:
    """What an answer means: 2xx is heard, 4xx is final, anything else or silence is tried again.

    A redirect is not followed and counts as a failure that may pass.
    """
    if status_code is not None and 200 <= status_code < 300:
        return "delivered"
    if status_code is not None and 400 <= status_code < 500:
        return "refused"
    return "again"


def after_attempt(
    delivery: Delivery,
    attempt: Attempt,
    now: datetime,
    *,
    tries: int = MAX_RETRIES + 1,
    refusals_are_final: bool = True,
    wait: Callable[[int], timedelta] | None = None,
) -> Delivery:
    """What a try makes of a delivery: done, given up, or due again after a pause that doubles each time.

    ``tries`` are counted from the last time that somebody asked to send it again.
    """
    made = attempt.number - delivery.round_from
    result = outcome(attempt.status_code)
    status: DeliveryStatus = "waiting"
    if result == "delivered":
        status = "delivered"
    elif (result == "refused" and refusals_are_final) or made >= tries:
        status = "failed"
    return msgspec.structs.replace(
        delivery,
        status=status,
        attempts=attempt.number,
        due_at=now + (wait or pause)(made),
        version=delivery.version + 1,
    )


def again(delivery: Delivery, now: datetime) -> Delivery:
    """Send it once more, whatever became of it, with as many tries as a new one."""
    return msgspec.structs.replace(
        delivery, status="waiting", due_at=now, round_from=delivery.attempts, version=delivery.version + 1
    )


def pause(attempts: int) -> timedelta:
    """The pause after so many tries: 5 s, 10 s, 20 s and on, four hours at most."""
    return timedelta(seconds=min(FIRST_PAUSE_S * 2 ** (attempts - 1), LONGEST_PAUSE_S))
