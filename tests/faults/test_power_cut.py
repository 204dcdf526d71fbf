"""The power goes at any moment: what was answered is there, and the books agree. Without syncing they would not."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kasse.main import open_house
from kasse.operations import accounts
from kasse.operations.verification import verify
from kasse.settings import Settings
from kasse.store.port import StoreUnavailable
from kasse.store.sqlite import SqliteStore
from tests.faults.power import PowerDisk, power_disk
from tests.faults.servers import ACCOUNT
from tests.faults.trade import MovedClock, lost, settle_all, trade

SHORT, LONG = 12, 300
TRADERS = 4


async def _cuts(tmp_path: Path, number: int) -> list[tuple[Path, list[tuple[str, str, int]]]]:
    """Trade, and have the power cut again and again: what is left each time, and what was answered until then."""
    chance = random.Random(20261125)
    left: list[tuple[Path, list[tuple[str, str, int]]]] = []
    with power_disk() as disk:
        async with open_house(Settings(database=f"sqlite:///{tmp_path}/kasse.db", look_up_after=0.1)) as house:
            await accounts.create_account(house, ACCOUNT, "Fjord & Fjell")
            answered: list[tuple[str, str, int]] = []
            _copies_its_log_often(house.store)

            async def trader(seed: int) -> None:
                own = random.Random(seed)
                while len(left) < number:
                    await trade(house, own, answered)

            async def cutter(disk: PowerDisk) -> None:
                try:
                    while len(left) < number:
                        wanted = len(answered) + chance.randrange(1, 8)
                        while len(answered) < wanted:
                            await asyncio.sleep(chance.uniform(0, 0.005))
                        folder = tmp_path / f"cut-{len(left)}"
                        until = list(answered)
                        disk.cut(folder, chance)
                        left.append((folder, until))
                finally:
                    left.extend([left[-1]] * (number - len(left)))

            await asyncio.gather(cutter(disk), *(trader(n) for n in range(TRADERS)))
    return left


def _copies_its_log_often(store: Any) -> None:
    """So that the power also goes while the log is put into the file, beside a commit or with it."""
    store._log.pages = 20


async def _what_is_wrong(folder: Path, answered: list[tuple[str, str, int]]) -> list[str]:
    clock = MovedClock()
    try:
        async with open_house(Settings(database=f"sqlite:///{folder}/kasse.db"), clock) as house:
            wrong = await lost(house, answered)
            before = (await verify(house)).difference
            await settle_all(house, clock)
            after = (await verify(house)).difference
            return [*wrong, *(each for each in (before, after) if each is not None)]
    except StoreUnavailable as error:
        return [str(error)]


async def test_what_was_answered_is_there_after_the_power_was_cut(
    tmp_path: Path, times: Callable[[int, int], int]
) -> None:
    left = await _cuts(tmp_path, times(SHORT, LONG))
    for folder, answered in left:
        assert await _what_is_wrong(folder, answered) == [], folder
    assert len(left[-1][1]) > len(left)


async def test_without_syncing_the_same_run_loses_something(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = SqliteStore._connect

    def careless(self: SqliteStore) -> Any:
        connection = connect(self)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    monkeypatch.setattr(SqliteStore, "_connect", careless)
    left = await _cuts(tmp_path, SHORT)
    monkeypatch.undo()
    wrong = [await _what_is_wrong(folder, answered) for folder, answered in left]
    assert any(wrong), "the test cannot fail"
