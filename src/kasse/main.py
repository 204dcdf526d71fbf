"""Puts the parts together, nothing else."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any, TextIO, cast

import msgspec
import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from kasse.api import (
    accounts,
    admin,
    callbacks,
    drafts,
    explorer,
    health,
    ledger_entries,
    openapi,
    order_events,
    order_sessions,
    orders,
    profiles,
    sessions,
    subscriptions,
    transactions,
    view,
    wire,
)
from kasse.api import sandbox as sandbox_api
from kasse.api.app import build
from kasse.api.bodies import body_of
from kasse.api.routes import Route
from kasse.clock import Clock, SystemClock
from kasse.delivery.keys import load_secrets
from kasse.delivery.outgoing import Outgoing
from kasse.delivery.questions import Questions
from kasse.delivery.telling import tell
from kasse.delivery.watched import watched as watched_outgoing
from kasse.delivery.worker import DeliveryWorker
from kasse.demo import routes as demo
from kasse.domain.access import ServerSecret
from kasse.gateways.installed import GatewayNotUsable, all_gateways
from kasse.gateways.port import Surroundings
from kasse.ids import Ids
from kasse.operations import levels
from kasse.operations.clocks import AccountClocks
from kasse.operations.expiry import expire_due
from kasse.operations.house import House
from kasse.operations.payments import settle_due
from kasse.operations.rates import Rates
from kasse.operations.tokens import Tokens
from kasse.page import branding
from kasse.page import routes as page
from kasse.settings import Settings, read_settings
from kasse.store.port import Loads, Record, Store, StoreUnavailable
from kasse.store.postgres import PostgresStore
from kasse.store.sqlite import SqliteStore
from kasse.store.watched import watched as watched_store
from kasse.watch.port import Onlooker, Watch

SETTLE_EVERY_S = 0.5
TELL_EVERY_S = 0.5
EXPIRE_EVERY_S = 1.0
FORGET_EVERY_S = 3600
TELL_LEVELS_EVERY_S = 10
KEEP_ANSWERS = timedelta(hours=25)
NEW_BETWEEN_COLLECTIONS = 50_000
"""How many objects more there must be before garbage is looked for. What dozens of requests hold for the moment is more
than Python's own 700, so it was looked through all the time, and nothing of it was garbage."""
_log = structlog.get_logger()


async def open_store(database: str) -> Store:
    """Open ``sqlite:///relative.db``, ``sqlite:////absolute/path.db`` or ``postgresql://...``.

    Raises ``StoreUnavailable``.
    """
    if database.startswith("postgresql://"):
        return await PostgresStore.open(database)
    return await asyncio.to_thread(SqliteStore.open, database.removeprefix("sqlite:///"))


@asynccontextmanager
async def open_house(
    settings: Settings, clock: Clock | None = None, ids: Ids | None = None, watch: Watch | None = None
) -> AsyncIterator[House]:
    """A working house: its store is open until the end of the block.

    Raises ``StoreUnavailable``, ``GatewayNotUsable``.
    """
    watch = watch or Watch()
    store = watched_store(await open_store(settings.database), watch)
    try:
        yield await furnish(store, settings, clock or SystemClock(), ids or Ids(), Outgoing(), watch)
    finally:
        await store.close()


async def furnish(store: Store, settings: Settings, clock: Clock, ids: Ids, outgoing: Outgoing, watch: Watch) -> House:
    """A house on a store that is open. Raises ``StoreUnavailable``, ``GatewayNotUsable``."""
    clocks = AccountClocks(clock, store)
    await clocks.refresh_all()
    tokens = Tokens(
        store,
        clocks,
        ids,
        issuer=settings.base_url,
        lifetime=timedelta(seconds=settings.token_lifetime),
        rotation=timedelta(seconds=settings.key_rotation),
    )
    gateways = all_gateways(Surroundings(store, clocks, settings.base_url))
    pepper = await _pepper(store, ids, clock)
    merchants = Questions(
        watched_outgoing(outgoing, watch, "question"),
        describe=lambda session: msgspec.json.encode(sessions.session_reply(session)),
        parse=wire.parse,
        allow_private=settings.allows_private,
        secrets=partial(load_secrets, store),
        clock=clock,
        timeout_s=settings.express_timeout,
    )
    return House(store, gateways, clocks, ids, tokens, pepper, settings, merchants, Rates(settings), watch)


async def _pepper(store: Store, ids: Ids, clock: Clock) -> bytes:
    """The key of the hashes of client secrets, made at the first start."""

    async def decide(loads: Loads) -> tuple[bytes, Sequence[Record]]:
        found = await loads.server_secret("pepper")
        if found is not None:
            return found.value.encode(), ()
        made = ServerSecret("pepper", ids.secret(), clock.now())
        return made.value.encode(), (made,)

    return await store.change(decide)


def declared() -> list[Route]:
    """Every route of the API, those that are asked most first."""
    modules = (
        *(order_sessions, sandbox_api, transactions, sessions, drafts, orders, ledger_entries, order_events),
        *(view, accounts, admin, callbacks, profiles, subscriptions, health),
    )
    return [route for module in modules for route in module.routes.all]


def build_app(house: House) -> ASGIApp:
    """The whole application: the API and the payer's page."""
    routes = declared()
    pages = [*page.routes(house), *branding.routes(), *explorer.routes()]
    if house.settings.demo:
        pages += demo.routes(house)
    return build(house, [*routes, *openapi.serve(routes).all], pages)


def api_document(settings: Settings) -> dict[str, Any]:
    """The OpenAPI document of the API."""
    return openapi.document(declared(), settings.base_url)


@asynccontextmanager
async def workers(house: House, outgoing: Outgoing | None = None) -> AsyncIterator[None]:
    """What runs beside the requests: callbacks are delivered, overdue gateway calls looked up."""
    delivery = delivery_worker(house, outgoing or Outgoing())
    tasks = [
        asyncio.create_task(work)
        for work in (
            *(delivery.run(), _settle(house), _expire(house), _forget(house), _tell(house, delivery)),
            _tell_levels(house),
        )
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def delivery_worker(house: House, outgoing: Outgoing) -> DeliveryWorker:
    return DeliveryWorker(
        house.store,
        watched_outgoing(outgoing, house.watch, "delivery"),
        house.clock,
        partial(body_of, house),
        allow_private=house.settings.allows_private,
    )


async def _settle(house: House) -> None:
    """Look up, again and again, what became of gateway calls without an answer."""
    while True:
        try:
            await house.clock.refresh_all()
            found = await settle_due(house)
        except Exception as error:
            _log_failed("look_up_failed", error)
            found = 0
        await asyncio.sleep(0 if found else SETTLE_EVERY_S)


async def _tell(house: House, delivery: DeliveryWorker) -> None:
    """Make deliveries, again and again, of what subscribers are to be told."""
    while True:
        try:
            found = await tell(house.store, house.clock)
        except Exception as error:
            _log_failed("notices_not_told", error)
            found = 0
        if found:
            delivery.wake()
        await asyncio.sleep(0 if found else TELL_EVERY_S)


async def _expire(house: House) -> None:
    """End, again and again, the sessions whose time is over."""
    while True:
        try:
            found = await expire_due(house)
        except Exception as error:
            _log_failed("sessions_not_ended", error)
            found = 0
        await asyncio.sleep(0 if found else EXPIRE_EVERY_S)


async def _forget(house: House) -> None:
    """Remove the answers that were kept for repeated requests, some time after a day."""
    while True:
        try:
            await house.store.forget_answers(house.clock.now() - KEEP_ANSWERS)
        except Exception as error:
            _log_failed("answers_not_removed", error)
        await asyncio.sleep(FORGET_EVERY_S)


async def _tell_levels(house: House) -> None:
    """Tell those who look on, if there are any, how much waits."""
    while house.watch:
        try:
            await levels.tell(house)
        except Exception as error:
            _log_failed("levels_not_told", error)
        await asyncio.sleep(TELL_LEVELS_EVERY_S)


def _log_failed(event: str, error: Exception) -> None:
    """That the database is away is a sentence; anything else is a mistake of ours, with its place."""
    if isinstance(error, StoreUnavailable):
        _log.error(event, error=str(error))
    else:
        _log.error(event, exc_info=error)


def application() -> ASGIApp:
    """With the settings of the environment."""
    settings = read_settings()
    configure_logs(settings.log_level)
    return Application(settings)


def onlookers(settings: Settings) -> Watch:
    """Those who shall see what the house does. What they need is imported for them only."""
    found: list[Onlooker] = []
    if settings.metrics_port:
        from kasse.watch.prometheus import metrics

        found.append(metrics())
    if settings.otel:
        from kasse.watch.otel import open_telemetry

        found.append(open_telemetry())
    return Watch(found)


class Application:
    """Opens the house when the server starts and closes it when it stops."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif self._app is not None:
            await self._app(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        watch = onlookers(self._settings)
        try:
            async with open_house(self._settings, watch=watch) as house, workers(house):
                self._app = build_app(house)
                # What is there now stays. Looking through it for garbage once a second would hold up every answer for
                # fifty milliseconds.
                gc.collect()
                gc.freeze()
                gc.set_threshold(NEW_BETWEEN_COLLECTIONS)
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except (StoreUnavailable, GatewayNotUsable) as error:
            _log.error("not_started", error=str(error))
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        finally:
            await asyncio.to_thread(watch.close)
        await send({"type": "lifespan.shutdown.complete"})


def configure_logs(level: str) -> None:
    """Logs as JSON lines on standard error."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(_as_json),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, _Forgiving(sys.stderr))),
        cache_logger_on_first_use=True,
    )


def _as_json(event: Mapping[str, Any], default: Callable[[Any], Any], **_: Any) -> str:
    return msgspec.json.encode(event, enc_hook=default).decode()


class _Forgiving:
    """Standard error, where a line that cannot be written (a full disk) is lost and the request goes on."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        with suppress(OSError):
            return self._file.write(text)
        return 0

    def flush(self) -> None:
        with suppress(OSError):
            self._file.flush()
