"""Known bugs that can be put into Kasse, to prove that a simulation finds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import msgspec

from kasse.api import once
from kasse.delivery import worker
from kasse.domain import ledger
from kasse.domain import session as session_rules
from kasse.domain.transaction import PaymentError
from kasse.gateways.port import Approved, Declined, NotFound
from kasse.operations import gateway_calls, payments, settling
from tests.simulation.run import Ran, simulate

_NO = Declined(PaymentError("no answer came", type=("ERROR",)))


def _a_time_out_is_taken_for_a_failure() -> list[Any]:
    settle = settling.settle

    async def wrong(house: Any, account_id: str, key: str, answer: Any) -> Any:
        return await settle(house, account_id, key, _NO if answer is None else answer)

    return [mock.patch.object(gateway_calls, "settle", wrong)]


def _a_time_out_is_taken_for_success() -> list[Any]:
    settle = settling.settle

    async def wrong(house: Any, account_id: str, key: str, answer: Any) -> Any:
        return await settle(house, account_id, key, Approved() if answer is None else answer)

    return [mock.patch.object(gateway_calls, "settle", wrong)]


def _lines_are_not_claimed() -> list[Any]:
    return [
        mock.patch.object(session_rules, "check_claim", return_value=None),
        mock.patch.object(ledger.LineSums, "claim", lambda self, amount: self),
    ]


def _a_payment_that_is_not_found_is_not_closed() -> list[Any]:
    """The look-up believes the gateway that it never got the payment, which may still be on its way."""
    look_up = gateway_calls.look_up

    async def wrong(house: Any, call: Any, transaction: Any) -> Any:
        if call.kind == "authorize" and call.state != "closing":
            told = gateway_calls.instruction(house, call, transaction)
            try:
                found = await house.gateways[call.gateway].look_up(call.kind, told)
            except Exception:
                return await settling.settle(house, call.account_id, call.key, None)
            answer = _NO if isinstance(found, NotFound) else found
            return await settling.settle(house, call.account_id, call.key, answer)
        return await look_up(house, call, transaction)

    return [mock.patch.object(gateway_calls, "look_up", wrong), mock.patch.object(payments, "look_up", wrong)]


def _a_call_that_is_made_again_has_a_new_key() -> list[Any]:
    instruction = gateway_calls.instruction

    def wrong(house: Any, call: Any, transaction: Any) -> Any:
        told = instruction(house, call, transaction)
        if call.kind == "authorize" or call.look_ups == 0:
            return told
        return told.__class__(**{**vars(told), "key": f"{told.key}:{call.look_ups}"})

    return [mock.patch.object(gateway_calls, "instruction", wrong)]


def _an_answer_counts_each_time_it_comes() -> list[Any]:
    load = settling.load_call

    async def wrong(loads: Any, account_id: str, key: str) -> Any:
        found = await load(loads, account_id, key)
        if found.call.state == "done" and found.call.kind != "authorize":
            return replace(found, call=msgspec.structs.replace(found.call, state="unknown"))
        return found

    return [mock.patch.object(settling, "load_call", wrong)]


def _a_payment_that_was_looked_up_owes_no_callback() -> list[Any]:
    authorization = settling._authorization

    async def wrong(house: Any, loads: Any, before: Any, answer: Any) -> Any:
        settled, records = await authorization(house, loads, before, answer)
        if before.call.state == "unknown":
            records = [record for record in records if type(record).__name__ != "Delivery"]
        return settled, records

    return [mock.patch.object(settling, "_authorization", wrong)]


def _a_callback_is_delivered_before_it_is_sent() -> list[Any]:
    claimed = worker._claimed

    def wrong(delivery: Any, now: Any) -> Any:
        return msgspec.structs.replace(claimed(delivery, now), status="delivered")

    return [mock.patch.object(worker, "_claimed", wrong)]


def _the_answer_is_kept_after_the_effect() -> list[Any]:
    """A request that is repeated after a crash is done again."""

    async def wrong(self: Any, decide: Any) -> Any:
        return await self._store.change(decide)

    return [mock.patch.object(once._Once, "change", wrong)]


def _calls_without_an_answer_are_not_looked_up() -> list[Any]:
    async def wrong(house: Any, limit: int = 20) -> int:
        return 0

    return [mock.patch.object(payments, "settle_due", wrong), mock.patch("kasse.main.settle_due", wrong)]


def _a_payment_is_closed_without_saying_so_first() -> list[Any]:
    """The payer who confirms at the same moment, in another window, is recorded as having paid."""

    async def wrong(house: Any, account_id: str, key: str, states: Any) -> Any:
        found = await house.store.glance(lambda loads: settling.load_call(loads, account_id, key))
        if found.call.state not in states:
            return found
        return replace(found, call=msgspec.structs.replace(found.call, state="closing"))

    return [mock.patch.object(gateway_calls, "begin_to_close", wrong)]


BUGS: dict[str, Callable[[], list[Any]]] = {
    made.__name__.strip("_").replace("_", "-"): made
    for made in (
        _a_time_out_is_taken_for_a_failure,
        _a_time_out_is_taken_for_success,
        _lines_are_not_claimed,
        _a_payment_that_is_not_found_is_not_closed,
        _a_call_that_is_made_again_has_a_new_key,
        _an_answer_counts_each_time_it_comes,
        _a_payment_that_was_looked_up_owes_no_callback,
        _a_callback_is_delivered_before_it_is_sent,
        _the_answer_is_kept_after_the_effect,
        _calls_without_an_answer_are_not_looked_up,
        _a_payment_is_closed_without_saying_so_first,
    )
}


@contextmanager
def put_in(name: str | None) -> Iterator[None]:
    """Kasse has this bug until the end of the block."""
    patches = BUGS[name]() if name else []
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in reversed(patches):
            patch.stop()


def simulate_with(bug: str | None, seed: int, tell: Callable[[str], None] | None = None) -> Ran:
    with put_in(bug):
        return simulate(seed, tell)
