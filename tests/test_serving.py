"""What the server does with its process."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kasse.main import NEW_BETWEEN_COLLECTIONS, Application
from kasse.settings import Settings

PATIENCE_S = 60
MOST_MOVING = 20_000


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


async def test_what_is_there_at_the_start_is_not_looked_through_for_garbage(tmp_path: Path) -> None:
    said, told = asyncio.Queue[dict[str, Any]](), asyncio.Queue[dict[str, Any]]()
    application = Application(Settings(database=f"sqlite:///{tmp_path}/kasse.db"))
    living = asyncio.create_task(application({"type": "lifespan"}, told.get, said.put))  # type: ignore[arg-type]
    await told.put({"type": "lifespan.startup"})
    started = await asyncio.wait_for(said.get(), PATIENCE_S)
    assert started["type"] == "lifespan.startup.complete"
    assert gc.get_freeze_count() > MOST_MOVING > len(gc.get_objects())
    # Nor is what some dozens of requests hold for the moment.
    assert gc.get_threshold()[0] == NEW_BETWEEN_COLLECTIONS > 20 * 700
    await told.put({"type": "lifespan.shutdown"})
    await asyncio.wait_for(living, PATIENCE_S)
