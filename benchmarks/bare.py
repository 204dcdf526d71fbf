"""The HTTP stack by itself: the uvicorn, httptools and Starlette that Kasse uses, and a fixed answer.

python -m benchmarks.bare PORT
"""

from __future__ import annotations

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

# About as long as the answer to a session that was created.
_ANSWER = b'{"id":"' + b"x" * 1100 + b'"}'


async def answer(request: Request) -> Response:
    await request.body()
    return Response(_ANSWER, media_type="application/json; charset=utf-8")


app = Starlette(routes=[Route("/", answer, methods=["GET", "POST"])])

if __name__ == "__main__":
    uvicorn.run(
        app,
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
    )
