"""The server dies around a call to the gateway: the look-up finds out what became of it, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, cast

import pytest

from kasse.clock import SystemClock
from kasse.domain.access import Caller
from kasse.domain.ledger import LineAmount
from kasse.domain.refusals import Refusal
from kasse.domain.session import ChosenItem, SessionUrl
from kasse.domain.transaction import CallKind, Transaction, amounts
from kasse.gateways.port import CardDetails, Gateway
from kasse.main import open_house
from kasse.operations import accounts, drafts, gateway_calls, ledger_entries, payments, sessions, transactions
from kasse.operations.house import House
from kasse.operations.ledger_entries import EntryRequest
from kasse.operations.payments import settle_due
from kasse.operations.sessions import SessionRequest
from kasse.operations.transactions import OperationRequest
from kasse.operations.verification import verify
from kasse.settings import Settings
from tests.faults.servers import ACCOUNT, Found, differences, find

CALLER = Caller(ACCOUNT, "somebody", frozenset(), "request-1")
CARD = CardDetails("4000000000000002", "12/2099", "123")
AMOUNT = 10_000


class Died(BaseException):
    """The process ends here: no code of ours handles it."""


@dataclass
class MortalGateway:
    """A gateway at whose call, before it arrives or after it was done, the server dies."""

    gateway: Any
    dies: dict[str, Literal["before", "after"]]
    calls: list[str]

    @property
    def name(self) -> str:
        return str(self.gateway.name)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.gateway, name)
        if name in ("name", "methods", "serves", "check_card"):
            return method

        async def call(*arguments: Any) -> Any:
            self.calls.append(name)
            when = self.dies.pop(name, None)
            if when == "before":
                raise Died
            answer = await method(*arguments)
            if when == "after":
                raise Died
            return answer

        return call


class MovedClock(SystemClock):
    ahead = timedelta()

    def now(self, account_id: str | None = None) -> datetime:
        return super().now(account_id) + self.ahead


@dataclass
class World:
    """A house whose server can die, with a paid order once ``pay`` is done."""

    house: House
    gateway: MortalGateway
    clock: MovedClock
    order_id: str = ""

    async def pay(self) -> Transaction:
        return (
            await payments.pay(self.house, CALLER, await self.open_session(), "dintero_psp.creditcard", CARD)
        ).transaction

    async def open_session(self) -> str:
        request = SessionRequest(
            (ChosenItem(1), ChosenItem(2)), "default", SessionUrl("https://shop.example", "http://127.0.0.1:1/callback")
        )
        return (await sessions.open_for_order(self.house, CALLER, self.order_id, request)).id

    async def look_up(self) -> None:
        """Time passes and the next server looks up what is overdue."""
        self.clock.ahead += timedelta(minutes=10)
        while await settle_due(self.house):
            pass

    async def found(self) -> Found:
        """All there is, which must agree with itself."""
        found = await find(self.house)
        assert (await verify(self.house)).difference is None
        return found

    async def settled(self) -> tuple[Found, Transaction]:
        """All there is and the newest transaction, once no outcome is open."""
        found = await self.found()
        assert set(found.calls.values()) == {"done"}
        assert found.claimed == 0
        assert differences(found) == []
        [transaction] = [each for each in found.transactions if not each.pending]
        return found, transaction


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    clock = MovedClock()
    async with open_house(Settings(database=f"sqlite:///{tmp_path}/kasse.db"), clock) as house:
        gateway = MortalGateway(house.gateways["sandbox"], {}, [])
        mortal = replace(house, gateways={"sandbox": cast(Gateway, gateway)})
        await accounts.create_account(mortal, ACCOUNT, "Fjord & Fjell")
        items: list[dict[str, Any]] = [
            {"id": str(n), "line_id": n, "gross_amount": AMOUNT // 2, "tax_lines": []} for n in (1, 2)
        ]
        draft = await drafts.create(mortal, CALLER, {"currency": "NOK", "items": items}, {})
        [details] = await drafts.complete(mortal, CALLER, draft.id)
        order_id = details.state.order.id
        yield World(mortal, gateway, clock, order_id)


async def _take(world: World, transaction: Transaction, kind: CallKind, amount: int | None = None) -> Transaction:
    request = OperationRequest(amount=amount)
    return (await transactions.operate(world.house, CALLER, transaction.id, kind, request)).transaction


@pytest.mark.parametrize(("when", "status"), [("before", "FAILED"), ("after", "AUTHORIZED")])
async def test_a_payment_around_which_the_server_died_is_settled(
    world: World, when: Literal["before", "after"], status: str
) -> None:
    world.gateway.dies["authorize"] = when
    with pytest.raises(Died):
        await world.pay()
    # Until then nobody knows, and nobody else can pay.
    before = await world.found()
    assert before.claimed == AMOUNT
    assert list(before.calls.values()) == ["started"]
    with pytest.raises(Refusal, match="being paid"):
        await world.pay()
    await world.look_up()
    found, transaction = await world.settled()
    assert transaction.status == status
    assert len(found.owed) == (status == "AUTHORIZED")
    assert world.gateway.calls.count("authorize") == 1
    if status == "AUTHORIZED":
        with pytest.raises(Refusal, match="nothing left to pay"):
            await world.open_session()
    else:
        assert (await world.pay()).status == "AUTHORIZED"


async def test_a_payment_that_never_arrived_cannot_arrive_after_it_was_settled(world: World) -> None:
    """The call is still on its way when the look-up gives the lines free."""
    world.gateway.dies["authorize"] = "before"
    with pytest.raises(Died):
        await world.pay()
    await world.look_up()
    _, transaction = await world.settled()
    call = await world.house.store.read(lambda loads: loads.gateway_call(ACCOUNT, transaction.id))
    assert call is not None
    answer = await world.gateway.gateway.authorize(gateway_calls.instruction(world.house, call, transaction), CARD)
    assert type(answer).__name__ == "Declined"
    assert (await world.pay()).status == "AUTHORIZED"
    found = await world.found()
    assert [entry.state for entry in found.book.values()].count("approved") == 1


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", ["capture", "refund", "void"])
async def test_a_call_around_which_the_server_died_is_done_once(
    world: World, kind: CallKind, when: Literal["before", "after"]
) -> None:
    transaction = await world.pay()
    if kind == "refund":
        transaction = await _take(world, transaction, "capture", AMOUNT)
    amount = None if kind == "void" else 6_000
    world.gateway.dies[kind] = when
    with pytest.raises(Died):
        await _take(world, transaction, kind, amount)
    # The money is held: nobody else gets it meanwhile, and nothing is said to be done.
    found = await world.found()
    assert sum(getattr(amounts(found.transactions[0]), name) for name in ("refunded", "voided")) == 0
    with pytest.raises(Refusal) as refused:
        await _take(world, transaction, kind, amount)
    assert refused.value.reason == "outcome_unknown"
    await world.look_up()
    _, transaction = await world.settled()
    done = {"capture": "captured", "refund": "refunded", "void": "voided"}[kind]
    assert getattr(amounts(transaction), done) == (amount or AMOUNT)
    assert [event.event for event in transaction.events if event.success].count(kind.upper()) == 1


@pytest.mark.parametrize("when", ["before", "after"])
async def test_an_entry_on_the_order_around_which_the_server_died_appears(
    world: World, when: Literal["before", "after"]
) -> None:
    await world.pay()
    world.gateway.dies["capture"] = when
    request = EntryRequest((LineAmount(1, 3_000),), given={"reference": "mine"})
    with pytest.raises(Died):
        await ledger_entries.record(world.house, CALLER, world.order_id, "capture", request)
    assert await ledger_entries.list_of_order(world.house, ACCOUNT, world.order_id, "capture") == []
    await world.look_up()
    await world.settled()
    [entry] = await ledger_entries.list_of_order(world.house, ACCOUNT, world.order_id, "capture")
    assert entry.items == request.items
    assert entry.from_order
    assert entry.given["reference"] == "mine"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["look_up", "void", "capture"])
async def test_a_look_up_around_which_the_server_died_is_made_again(
    world: World, step: str, when: Literal["before", "after"]
) -> None:
    """Also when it dies while it closes the authorization that never arrived, or repeats the capture."""
    if step == "capture":
        transaction = await world.pay()
    world.gateway.dies["capture" if step == "capture" else "authorize"] = "before"
    with pytest.raises(Died):
        await (_take(world, transaction, "capture", 4_000) if step == "capture" else world.pay())
    world.gateway.dies[step] = when
    with pytest.raises(Died):
        await world.look_up()
    assert set((await world.found()).calls.values()) != {"done"}
    await world.look_up()
    _, transaction = await world.settled()
    assert transaction.status == ("PARTIALLY_CAPTURED" if step == "capture" else "FAILED")


async def test_the_money_moves_once_however_many_look_ups_run_side_by_side(world: World) -> None:
    transaction = await world.pay()
    world.gateway.dies["capture"] = "before"
    with pytest.raises(Died):
        await _take(world, transaction, "capture", 4_000)
    call = await _only_open_call(world)
    transaction = await transactions.get(world.house, ACCOUNT, transaction.id)
    await asyncio.gather(*(gateway_calls.look_up(world.house, call, transaction) for _ in range(20)))
    _, transaction = await world.settled()
    assert amounts(transaction).captured == 4_000
    assert len(transaction.events) == 2


async def test_one_look_up_that_goes_wrong_does_not_keep_the_others_waiting(world: World) -> None:
    """A mistake in one call, every time, must not leave the claims of all others stuck."""
    transaction = await world.pay()
    for amount in (1_000, 2_000, 3_000):
        world.gateway.dies["capture"] = "before"
        with pytest.raises(Died):
            await _take(world, transaction, "capture", amount)
    real = world.gateway.gateway

    class Mistaken:
        name = "sandbox"

        async def look_up(self, kind: CallKind, told: Any) -> Any:
            if told.amount == 1_000:
                raise ZeroDivisionError
            return await real.look_up(kind, told)

        def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
            method: Callable[..., Awaitable[Any]] = getattr(real, name)
            return method

    world.gateway.gateway = Mistaken()
    for _ in range(3):
        try:
            await world.look_up()
        except ZeroDivisionError:
            continue
    found = await find(world.house)
    assert amounts(found.transactions[0]).captured == 5_000


async def _only_open_call(world: World) -> Any:
    world.clock.ahead += timedelta(minutes=10)
    [call] = await world.house.store.read(lambda loads: loads.due_gateway_calls(world.clock.now(), 10))
    return call
