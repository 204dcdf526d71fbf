"""The command line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, cast

import msgspec
import typer

from kasse import __version__
from kasse.cli_accounts import account_commands, api_key_commands, client_commands, profile_commands
from kasse.cli_parts import AsJson, Database, fail, run
from kasse.domain.refusals import Refusal
from kasse.gateways.installed import GatewayNotUsable
from kasse.settings import Settings, SettingsError, read_settings, without_password
from kasse.store.port import StoreUnavailable

cli = typer.Typer(
    help="Kasse turns an order into money: orders, payment sessions and what comes after.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
cli.add_typer(account_commands, name="account")
cli.add_typer(client_commands, name="client")
cli.add_typer(profile_commands, name="profile")
cli.add_typer(api_key_commands, name="api-key")

Host = Annotated[str | None, typer.Option(help="Address to listen on.")]
Port = Annotated[int | None, typer.Option(help="Port to listen on.")]
Workers = Annotated[int | None, typer.Option(help="Processes that answer requests.")]
Tls = Annotated[
    str | None,
    typer.Option(help="local: HTTPS with a certificate authority of your own, kept in the folder kasse-tls."),
]
TlsNames = Annotated[list[str] | None, typer.Option("--tls-name", help="A name for the certificate; may be repeated.")]


def main() -> None:
    """The command ``kasse``. What goes wrong is told in a sentence, with exit code 1; wrong usage is 2."""
    try:
        cli()
    except SettingsError as error:
        fail("the settings are wrong:\n" + "\n".join(f"  {mistake}" for mistake in error.mistakes))
    except (Refusal, StoreUnavailable, GatewayNotUsable) as error:
        fail(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


@cli.command()
def serve(
    host: Host = None,
    port: Port = None,
    database: Database = None,
    workers: Workers = None,
    tls: Tls = None,
    tls_name: TlsNames = None,
) -> None:
    """Answer requests until stopped."""
    names = ",".join(tls_name) if tls_name else None
    settings = read_settings(
        {"host": host, "port": port, "database": database, "workers": workers, "tls": tls, "tls_names": names}
    )
    sock = _listen(settings)
    typer.echo(
        f"Kasse {__version__} on {settings.base_url}, database {without_password(settings.database)}. Ctrl-C ends it."
    )
    _serve(settings, sock)


@cli.command()
def demo(host: Host = None, port: Port = None, database: Database = None, workers: Workers = None) -> None:
    """Serve with a sample: a test account, an API client, an order and a session to pay."""
    settings = read_settings({"host": host, "port": port, "database": database, "workers": workers, "demo": True})
    sock = _listen(settings)
    _print_sample(settings, *run(settings, partial(_sample, settings)))
    _serve(settings, sock)


def _listen(settings: Settings) -> socket.socket:
    """Take the port before anything else, so that a taken one is told at once."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((settings.host, settings.port))
        # Whoever comes before the first worker is ready waits a moment instead of being turned away.
        sock.listen(2048)
    except OSError as error:
        fail(f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; choose another with --port")
    return sock


def _serve(settings: Settings, sock: socket.socket) -> None:
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    from kasse.connections import Connection, Limits

    secure = _certificate(settings)
    # The worker processes read their settings where everybody else's come from too.
    os.environ |= {f"KASSE_{name.upper()}": _as_text(value) for name, value in msgspec.structs.asdict(settings).items()}
    config = uvicorn.Config(
        "kasse.serving:application",
        factory=True,
        workers=settings.workers,
        loop="uvloop",
        http=cast(Any, partial(Connection, limits=Limits(settings.client_timeout, settings.max_connections))),
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        # Anybody else may write into X-Forwarded-For what he likes.
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        **secure,
        timeout_keep_alive=settings.keep_alive,
        timeout_graceful_shutdown=settings.stop_timeout,
    )
    # The server sends itself the signal again that has stopped it; to be stopped is not a failure.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    with _metrics(settings), contextlib.suppress(KeyboardInterrupt):
        # Ctrl-C is how one stops it; everything has been closed by then.
        if settings.workers == 1:
            server = uvicorn.Server(config)
            server.run([sock])
            if not server.started:
                sys.exit(3)
        else:
            Multiprocess(config, [sock]).run()
    typer.echo("Kasse has stopped.")


def _certificate(settings: Settings) -> dict[str, Any]:
    """What the server needs for TLS, if that is wanted; tells how to trust it."""
    if not settings.tls:
        return {}
    from kasse.tls import TlsNotUsable, how_to_trust, local_tls

    try:
        found = local_tls(Path(settings.tls_folder).absolute(), settings.certified)
    except TlsNotUsable as error:
        fail(str(error))
    typer.echo(how_to_trust(found, settings.base_url, settings.certified))
    return {"ssl_certfile": str(found.server), "ssl_keyfile": str(found.server)}


@contextlib.contextmanager
def _metrics(settings: Settings) -> Iterator[None]:
    """Serve the metrics of all workers on a port of their own, if that is wanted."""
    with contextlib.ExitStack() as stack:
        if settings.metrics_port:
            from kasse.watch.prometheus import served

            try:
                stack.enter_context(served(settings.metrics_host, settings.metrics_port))
            except OSError as error:
                fail(f"cannot listen on {settings.metrics_host}:{settings.metrics_port}: {error.strerror}")
        yield


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


async def _sample(settings: Settings, house: Any) -> tuple[Any, str]:
    """The sample and its payer's link; the secret is kept in a file beside the database, for its owner only."""
    from kasse.operations import sample

    path = settings.database.removeprefix("sqlite:///") if settings.database.startswith("sqlite:") else "kasse"
    file = Path(path + ".sample.json")
    found = msgspec.json.decode(file.read_bytes(), type=sample.Sample) if file.exists() else None
    if found is None or not await sample.is_there(house, found):
        found = await sample.make(house)
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(msgspec.json.encode(found))
    session = await sample.open_session(house, found)
    return found, f"{settings.base_url}/v1/view/{session.id}"


def _print_sample(settings: Settings, sample: Any, link: str) -> None:
    base, account = settings.base_url, sample.account_id
    typer.echo(
        f"""Kasse {__version__} is ready. Ctrl-C ends it; the next start finds everything again.

  base URL       {base}
  account id     {account}
  client id      {sample.client_id}
  client secret  {sample.client_secret}

Open this link and pay the sample order, for example with the test card 4000 0000 0000 0002:

  {link}

Or buy something in the demo shop, with the payment on a page of its own, in a frame or in a pop-out window:

  {base}/demo/

A token for the API:

  curl -u '{sample.client_id}:{sample.client_secret}' -H 'Content-Type: application/json' \\
    -d '{{"grant_type": "client_credentials", "audience": "{base}/v1/accounts/{account}"}}' \\
    {base}/v1/accounts/{account}/auth/token
"""
    )


@cli.command()
def migrate(database: Database = None) -> None:
    """Create the database or bring it up to date. Every other command does so by itself."""
    from kasse.main import open_store

    settings = read_settings({"database": database})

    async def work() -> None:
        await (await open_store(settings.database)).close()

    asyncio.run(work())
    typer.echo(f"{without_password(settings.database)} is up to date")


@cli.command()
def verify(database: Database = None) -> None:
    """Rebuild every order from its history, check every payment, and name the first thing that differs."""
    typer.echo(_verified(read_settings({"database": database})))


def _verified(settings: Settings) -> str:
    """Verify a database; what was found, in words."""
    from kasse.operations.verification import verify as verify_house

    found = run(settings, verify_house)
    if found.difference is not None:
        fail(f"a difference after {found.orders} orders and {found.events} events: {found.difference}")
    return f"{found.orders} orders, {found.events} events and {found.sessions} sessions agree"


@cli.command()
def copy(
    source: Annotated[str, typer.Option("--from", help="The database to read.")],
    target: Annotated[str, typer.Option("--to", help="An empty database, or a file that is not there yet.")],
) -> None:
    """Move everything to another database, of either engine. Stop the servers of both first."""
    from kasse.store import copying

    here, there = (read_settings({"database": url}).database for url in (source, target))
    try:
        rows = asyncio.run(copying.copy(here, there, _tell_of_table))
    except copying.CopyRefused as error:
        fail(str(error))
    typer.echo(f"copied {rows} rows to {without_password(there)}; kasse verify checks them")


@cli.command()
def backup(
    file: Annotated[Path, typer.Argument(help="A file that is not there yet.")], database: Database = None
) -> None:
    """Write everything, as of one moment, into one file. Servers may go on meanwhile."""
    from kasse.store import backup as backups

    settings = read_settings({"database": database})
    try:
        with backups.new_file(file) as part:
            asyncio.run(backups.back_up(settings.database, part, _tell_of_table))
            found = _verified(msgspec.structs.replace(settings, database=f"sqlite:///{part}"))
    except backups.BackupRefused as error:
        fail(str(error))
    typer.echo(f"{file} holds {without_password(settings.database)}: {found}")


@cli.command()
def restore(
    file: Annotated[Path, typer.Argument(help="What kasse backup has written.")],
    database: Database = None,
    replace: Annotated[bool, typer.Option("--replace", help="Remove what the database holds.")] = False,
) -> None:
    """Put a backup into an empty database, of either engine. Stop its servers first."""
    from kasse.store import backup as backups
    from kasse.store import copying

    settings = read_settings({"database": database})
    try:
        asyncio.run(backups.restore(file, settings.database, _tell_of_table, replace=replace))
    except copying.TargetNotEmpty as error:
        fail(f"{error}; --replace removes what is there")
    except (backups.BackupRefused, copying.CopyRefused) as error:
        fail(str(error))
    typer.echo(f"{without_password(settings.database)} holds what {file} holds: {_verified(settings)}")


def _tell_of_table(name: str, rows: int, done: bool) -> None:
    typer.echo(f"  {name:<20} {rows:>10}{'' if done else ' ...'}")


@cli.command()
def config(database: Database = None) -> None:
    """Print the settings in force."""
    settings = read_settings({"database": database})
    for name, value in msgspec.structs.asdict(settings).items():
        typer.echo(f"{name} = {json.dumps(without_password(value) if isinstance(value, str) else value)}")


@cli.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    from kasse.main import api_document

    typer.echo(json.dumps(api_document(read_settings()), indent=2))


@cli.command()
def pay(
    session_id: str,
    card: Annotated[str, typer.Option(help="Number of a test card.")] = "4000000000000002",
    database: Database = None,
) -> None:
    """Pay a session of a test account, as the page would."""
    from kasse.api.sandbox import pay_reply, pay_session
    from kasse.domain.access import Caller
    from kasse.operations.sessions import account_of

    async def work(house: Any) -> Any:
        caller = Caller(account_of(session_id), "kasse pay", frozenset(), f"kasse-pay-{house.ids.uuid()}")
        return pay_reply(await pay_session(house, caller, session_id, card))

    reply = run(read_settings({"database": database}), work)
    typer.echo(msgspec.json.encode(reply).decode())


@cli.command()
def bench(
    urls: Annotated[list[str], typer.Argument(help="Where the server answers; several share the connections.")],
    account_id: Annotated[str, typer.Option(help="A test account.")],
    client_id: Annotated[str, typer.Option(help="A client with admin:shopping and admin:checkout.")],
    client_secret: Annotated[str, typer.Option(envvar="CLIENT_SECRET")],
    step: Annotated[
        list[str] | None, typer.Option(help="token, draft, order, session, pay or capture; else all.")
    ] = None,
    connections: Annotated[int, typer.Option(min=1, help="Each sends one request after the other.")] = 32,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long each step runs.")] = 5,
    rate: Annotated[
        float | None, typer.Option(help="Create so many sessions a second instead of as many as go.")
    ] = None,
    watch: Annotated[list[str] | None, typer.Option(help="name=PID of a process here whose use to report.")] = None,
    callback_url: Annotated[str, typer.Option(help="Where callbacks go.")] = "http://127.0.0.1:9/callback",
    as_json: AsJson = False,
) -> None:
    """Drive a running server with load, from a token to a capture. It leaves orders behind."""
    from kasse.bench import report, steps
    from kasse.bench.connection import Unexpected

    wanted = step or list(steps.STEPS)
    if unknown := set(wanted) - set(steps.STEPS):
        raise typer.BadParameter(f"expected one of {', '.join(steps.STEPS)}, got {', '.join(sorted(unknown))}")
    merchant = steps.Merchant(urls, account_id, client_id, client_secret, callback_url)
    try:
        results = steps.run(
            merchant,
            wanted,
            connections=connections,
            seconds=seconds,
            rate=rate,
            watched=report.watched(watch or ()),
        )
    except (Unexpected, OSError) as error:
        fail(str(error))
    typer.echo(msgspec.json.encode(results).decode() if as_json else report.table(results))
