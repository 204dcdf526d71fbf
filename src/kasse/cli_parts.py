"""What every command shares: its options, opening the house, and failing in a sentence."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from kasse.settings import Settings

T = TypeVar("T")

Database = Annotated[
    str | None, typer.Option(help="sqlite:///relative.db, sqlite:////absolute/path.db or postgresql://user@host/name")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def fail(message: str) -> NoReturn:
    typer.echo(f"kasse: {message}", err=True)
    sys.exit(1)


def run(settings: Settings, work: Callable[[Any], Awaitable[T]]) -> T:
    """Open the house, do one thing, close it."""
    from kasse.main import configure_logs, open_house

    async def inside() -> T:
        async with open_house(settings) as house:
            return await work(house)

    # A command tells what goes wrong in its own words; only errors are logged beside it.
    configure_logs("error")
    return asyncio.run(inside())
