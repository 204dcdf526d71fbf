"""Questions of those who keep the server running. They need no token and tell nothing of what is inside."""

from __future__ import annotations

from typing import Any

import msgspec

from kasse import __version__
from kasse.api.routes import Call, Routes

routes = Routes("health")


class HealthReply(msgspec.Struct):
    status: str
    version: str


@routes("GET", "/health/live", "Whether the server answers at all", scopes=None, reply=HealthReply)
async def live(call: Call) -> Any:
    return HealthReply("live", __version__)


@routes(
    "GET", "/health/ready", "Whether the server can do its work, the database included", scopes=None, reply=HealthReply
)
async def ready(call: Call) -> Any:
    await call.house.readiness.check(call.house.store)
    return HealthReply("ready", __version__)
