"""One run: a world from a seed, some trade in it, then all is well again, and the accounts must agree."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from unittest import mock

import msgspec
import structlog

from kasse.delivery.telling import tell
from kasse.domain.access import ServerSecret
from kasse.domain.hooks import EVENTS
from kasse.domain.profile import merged
from kasse.gateways.port import NoAnswer
from kasse.main import delivery_worker
from kasse.operations import accounts, payments
from kasse.operations.house import House
from kasse.store.port import Loads, Record, StoreUnavailable
from kasse.store.times import from_milliseconds
from tests.running import SCOPES
from tests.simulation import errands, faults
from tests.simulation.audit import audit
from tests.simulation.network import FarGateway, FarReceivers, Garbled, Receivers
from tests.simulation.people import ACCOUNT, Merchant
from tests.simulation.world import Process, World

_EXPECTED = (Garbled, NoAnswer, StoreUnavailable, TimeoutError)
_MOST_ROUNDS = 1_000
_ENDLESS = "the work never ends"


@dataclass
class Ran:
    """What a run came to. ``digest`` stands for all that happened in it: runs of one seed have one digest."""

    seed: int
    problems: list[str]
    digest: str
    requests: int
    seconds: float
    counts: dict[str, int] = field(default_factory=dict)


def simulate(seed: int, tell: Callable[[str], None] | None = None) -> Ran:
    """Run one seed. ``tell`` gets every line of the story."""
    digest = hashlib.sha256()

    def told(line: str) -> None:
        digest.update(line.encode())
        if tell is not None:
            tell(line)

    chance = random.Random(f"{seed} story")
    world = World(seed, faults.Faults(), chance, told)
    # What happens to be installed is none of the simulation's business, and looking for it takes long.
    nothing_installed = mock.patch("kasse.gateways.installed.entry_points", return_value=())
    with nothing_installed, structlog.testing.capture_logs() as logs:
        try:
            world.loop.run_until_complete(_story(world))
        finally:
            world.loop.close()
    world.problems += [text for entry in logs if (text := _unexpected(entry))]
    counts = dict(world.counts)
    for count in sorted(counts.items()):
        digest.update(repr(count).encode())
    seconds = world.loop.time()
    world.store.connection.close()
    return Ran(seed, world.problems, digest.hexdigest(), world.requests, seconds, counts)


def _unexpected(entry: Mapping[str, Any]) -> str | None:
    """An error in the log that no fault of the simulation explains."""
    error = entry.get("exc_info")
    if entry["log_level"] != "error" or isinstance(error, _EXPECTED):
        return None
    if error is None and entry.get("event") in (
        *("store_unavailable", "look_up_failed", "notices_not_told", "sessions_not_ended", "answers_not_removed"),
        "deliveries_not_claimed",
        "delivery_left_to_its_lease",
    ):
        return None
    return f"the log says {entry.get('event')}: {error!r} {entry.get('error', '')} {entry.get('where', '')}"


async def _story(world: World) -> None:
    chance = world.chance
    receivers = Receivers(world)
    world.furnish_gateway = FarGateway
    world.furnish_outgoing = lambda process: FarReceivers(process, receivers)
    merchant = await _set_up(world)
    world.faults = faults.draw(chance)
    world.haste = chance.choice((0.05, 0.2, 1.0))
    world.note(f"seed {world.seed}; faults: {world.faults}")
    servers = chance.choice((1, 1, 2, 3))
    beside = [world.beside(world.keep_alive(servers)), world.beside(world.move_clocks())]
    if chance.random() < 0.25:
        beside.append(world.beside(errands.play_with_the_clock(merchant)))
    trades = [merchant.trade(number) for number in range(chance.randrange(1, 5))]
    trades += [merchant.trade_directly(number) for number in range(chance.choice((0, 0, 1, 2)))]
    await asyncio.gather(*trades)
    for task in beside:
        task.cancel()
    await _heal(world, merchant, receivers)
    await audit(world, merchant, receivers)


async def _set_up(world: World) -> Merchant:
    """An account, a client, and a first server, while nothing goes wrong yet."""
    secret = ServerSecret("pepper", "pepper", world.now())

    async def decide(loads: object) -> tuple[None, list[ServerSecret]]:
        return None, [secret]

    await world.store.change(decide)
    process = await world.start_process()
    assert process.house is not None
    await accounts.create_account(process.house, ACCOUNT, "Fjord & Fjell")
    scopes = (*SCOPES, "admin:hooks")
    client, secret_of_client = await accounts.create_client(process.house, "simulation", ACCOUNT, scopes=scopes)
    await _offer_more(process.house)
    merchant = Merchant(world, client.client_id, secret_of_client)
    if world.chance.random() < 0.6:
        config = {"url": "https://hooks.example/kasse", "secret": "a secret of the shop's own"}
        body = {"config": config, "events": EVENTS}
        subscribed = await merchant.ask("shop", "POST", f"{merchant.account_path}/hooks/subscriptions", body)
        assert subscribed is not None
        assert subscribed.status == 200, subscribed.body
    return merchant


async def _offer_more(house: House) -> None:
    """The account's profile offers payment by invoice and by a wallet besides cards, and what costs nothing."""

    async def decide(loads: Loads) -> tuple[None, Sequence[Record]]:
        profile = await loads.profile(ACCOUNT, "default")
        assert profile is not None
        configuration = merged(profile.configuration, errands.MORE_WAYS_TO_PAY)
        return None, (msgspec.structs.replace(profile, configuration=configuration, version=profile.version + 1),)

    await house.store.change(decide)


async def _heal(world: World, merchant: Merchant, receivers: Receivers) -> None:
    """Nothing goes wrong any more, and time passes: whatever was left open must come to its end."""
    world.note("from here on all is well")
    for process in list(world.processes):
        world.kill(process, "the last ones are taken down")
    away, world.faults = world.faults, faults.Faults(receivers_back_after=world.faults.receivers_back_after)
    if world.chance.random() < 0.5:
        # Requests that are still on their way arrive before anybody looks.
        await asyncio.sleep(2 * away.gateway_latest)
    process = await world.start_process(with_workers=False)
    world.ended, world.ended_at = True, world.now()
    await errands.start_the_clock(merchant)
    await _work_off(world, process, receivers)
    await asyncio.sleep(3 * away.gateway_latest + 100)
    await _work_off(world, process, receivers)
    await merchant.ask_again()
    await _work_off(world, process, receivers)


async def _work_off(world: World, process: Process, receivers: Receivers) -> None:
    """Do what is due, and let the time come at which the next thing is."""
    assert process.house is not None
    if _ENDLESS in world.problems:
        return
    worker = delivery_worker(process.house, FarReceivers(process, receivers))
    for _ in range(_MOST_ROUNDS):
        told = await tell(process.house.store, process.house.clock)
        if told + await payments.settle_due(process.house) + await worker.deliver_due():
            continue
        due = _next_due(world)
        if due is None:
            return
        world.ahead += max(timedelta(), from_milliseconds(due) - world.now()) + timedelta(milliseconds=1)
    world.problem(_ENDLESS)


def _next_due(world: World) -> int | None:
    sql = (
        "SELECT min(at) FROM (SELECT min(look_up_at) AS at FROM gateway_calls WHERE state <> 'done' "
        "UNION ALL SELECT min(due_at) FROM deliveries WHERE status = 'waiting')"
    )
    found: int | None = world.store.connection.execute(sql).get
    return found
