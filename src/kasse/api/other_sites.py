"""Scripts of other sites may call the API, since what opens it is in headers and addresses, never in a cookie.

Source: auth reference, section 9.
"""

from __future__ import annotations

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from kasse.api.headers import headers_of

_MAY_SEND = (
    *("Origin", "Content-Type", "Accept", "Authorization", "X-Api-Key", "X-Request-Id", "Idempotency-Key"),
    *("If-Unmodified-Since", "Dintero-Feature-Toggles", "Dintero-System-Name", "Dintero-System-Version"),
    *("Dintero-System-Plugin-Name", "Dintero-System-Plugin-Version"),
)
_MAY_READ = ("request-id", "event-request-id", "retry-after", "idempotency-replayed")


def open_to_other_sites(app: ASGIApp) -> ASGIApp:
    """Answer what browsers ask before such a call, and say in the answer to each under ``/v1/`` that it may be read."""
    api = CORSMiddleware(
        app,
        allow_origins=["*"],
        allow_methods=["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE"],
        allow_headers=_MAY_SEND,
        expose_headers=_MAY_READ,
    )

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        is_script = scope["type"] == "http" and scope["path"].startswith("/v1/") and "origin" in headers_of(scope)
        await (api if is_script else app)(scope, receive, send)

    return answer
