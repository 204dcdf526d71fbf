"""The commands that are about one account: itself, its clients, profiles and API keys."""

from __future__ import annotations

import json
from typing import Annotated, Any

import msgspec
import typer

from kasse.cli_parts import AsJson, Database, run
from kasse.settings import read_settings

account_commands = typer.Typer(help="Accounts: T######## is a sandbox, P######## is production.", no_args_is_help=True)
client_commands = typer.Typer(help="API clients of an account.", no_args_is_help=True)
profile_commands = typer.Typer(help="Payment profiles of an account: what its sessions offer.", no_args_is_help=True)
api_key_commands = typer.Typer(help="API keys of an account, for checkout calls.", no_args_is_help=True)


@account_commands.command("create")
def create_account(
    account_id: str,
    name: Annotated[str | None, typer.Option(help="The merchant's name, as payers see it.")] = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Make an account, such as T12345678."""
    from kasse.operations import accounts

    account = run(
        read_settings({"database": database}),
        lambda house: accounts.create_account(house, account_id, name or account_id),
    )
    found = {"account_id": account.id, "name": account.name}
    typer.echo(json.dumps(found) if as_json else f"account {account.id} ({account.name})")


@client_commands.command("create")
def create_client(
    account_id: str,
    scope: Annotated[list[str] | None, typer.Option(help="Such as admin:checkout; may be repeated.")] = None,
    name: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Make an API client. Its secret is shown here and never again."""
    from kasse.operations import accounts

    client, secret = run(
        read_settings({"database": database}),
        lambda house: accounts.create_client(house, "kasse client create", account_id, name=name, scopes=scope or ()),
    )
    found = {"account_id": client.account_id, "client_id": client.client_id, "client_secret": secret}
    typer.echo(json.dumps(found) if as_json else "\n".join(f"{key}  {value}" for key, value in found.items()))


@profile_commands.command("list")
def list_profiles(account_id: str, database: Database = None) -> None:
    """Print the profiles of an account as JSON."""
    from kasse.api.profiles import profile_reply
    from kasse.operations import profiles

    found = run(read_settings({"database": database}), lambda house: profiles.list_all(house, account_id))
    typer.echo(json.dumps([profile_reply(each) for each in found], indent=2))


@profile_commands.command("put")
def put_profile(
    account_id: str,
    profile_id: str,
    file: Annotated[typer.FileBinaryRead, typer.Argument(help="The profile as JSON, as the API takes it; - reads it.")],
    database: Database = None,
) -> None:
    """Make a profile or replace it."""
    from kasse.api.profiles import ProfileRequest, asked_for, profile_reply
    from kasse.api.wire import parse, typed
    from kasse.operations import accounts, profiles

    raw = parse(file.read())
    typed(raw, ProfileRequest)

    async def work(house: Any) -> Any:
        await accounts.require_account(house, account_id)
        caller = _caller(house, account_id, "profile put")
        return await profiles.put(house, caller, **asked_for(profile_id, raw))

    typer.echo(json.dumps(profile_reply(run(read_settings({"database": database}), work)), indent=2))


@api_key_commands.command("create")
def create_api_key(
    account_id: str,
    name: Annotated[str, typer.Option(help="What it is for.")],
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key. It is shown here and never again."""
    from kasse.operations import accounts, api_keys

    async def work(house: Any) -> Any:
        await accounts.require_account(house, account_id)
        return await api_keys.create(house, _caller(house, account_id, "api-key create"), name)

    key, value = run(read_settings({"database": database}), work)
    found = {"account_id": key.account_id, "id": key.id, "api_key": value}
    typer.echo(json.dumps(found) if as_json else "\n".join(f"{name}  {text}" for name, text in found.items()))


@api_key_commands.command("list")
def list_api_keys(
    account_id: str,
    deleted: Annotated[bool, typer.Option("--deleted", help="Those that are deleted, too.")] = False,
    database: Database = None,
) -> None:
    """Print the newest hundred API keys of an account as JSON, without the keys themselves."""
    from kasse.api.admin import key_reply
    from kasse.domain.paging import Page
    from kasse.operations import accounts, api_keys

    async def work(house: Any) -> Any:
        await accounts.require_account(house, account_id)
        return await api_keys.list_keys(house, account_id, Page(100, None), deleted)

    found = run(read_settings({"database": database}), work)
    typer.echo(msgspec.json.format(msgspec.json.encode([key_reply(each) for each in found])).decode())


@api_key_commands.command("delete")
def delete_api_key(account_id: str, key_id: str, database: Database = None) -> None:
    """End an API key at once."""
    from kasse.operations import api_keys

    async def work(house: Any) -> Any:
        return await api_keys.delete(house, _caller(house, account_id, "api-key delete"), key_id)

    typer.echo(f"API key {run(read_settings({'database': database}), work).id} is deleted")


def _caller(house: Any, account_id: str, command: str) -> Any:
    from kasse.domain.access import Caller

    return Caller(account_id, f"kasse {command}", frozenset(), f"kasse-{house.ids.uuid()}")
