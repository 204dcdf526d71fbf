"""Views to HTML, and the files a page needs beside it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from kasse.page.view import TEST_CARDS, ChallengeView, PayView
from kasse.page.wording import plain_sentence, sentence

ASSET_PATH = "/page-assets/"

_HERE = Path(__file__).parent
_CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def render_pay(view: PayView) -> str:
    """The payment page in any of its states."""
    if view.launcher:
        return _render("launcher.html", view)
    if view.state == "express" or (view.express is not None and view.state in ("ready", "declined")):
        return _render("express.html", view)
    if view.state in ("ready", "declined") or (view.state == "challenge" and view.pay_action):
        return _render("pay.html", view)
    return render_message(view)


def render_message(view: PayView) -> str:
    """A page that tells how things are and leads on, without a card form."""
    return _render("message.html", view)


def render_challenge(view: ChallengeView) -> str:
    """The sandbox's pretend bank."""
    return _render("challenge.html", view)


def asset(name: str) -> tuple[bytes, str] | None:
    """Content and content type of a file by its public name (``pay.<hash>.css``), or ``None``.

    The name changes with the content, so the answer may be cached for good.
    """
    found = _assets_by_public_name().get(name)
    return (found.content, found.content_type) if found else None


def asset_url(name: str) -> str:
    """Where the browser finds ``pay.css``: ``/page-assets/pay.<hash>.css``."""
    return ASSET_PATH + _assets()[name].public_name


def integrity(name: str) -> str:
    """What the ``integrity`` attribute of ``pay.css`` says."""
    return _assets()[name].integrity


@dataclass(frozen=True)
class _Asset:
    content: bytes
    content_type: str
    public_name: str
    integrity: str


@cache
def _assets() -> Mapping[str, _Asset]:
    return {path.name: _read(path) for path in (_HERE / "static").iterdir() if path.suffix in _CONTENT_TYPES}


def _lean(text: str, suffix: str) -> str:
    """Without what only readers of the source need: comments on lines of their own, and indentation."""
    if suffix == ".css":
        text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    elif suffix == ".js":
        text = re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)
    return re.sub(r"\s*\n\s*", "\n", text).strip() + "\n"


@cache
def _assets_by_public_name() -> Mapping[str, _Asset]:
    return {found.public_name: found for found in _assets().values()}


def _read(path: Path) -> _Asset:
    content = _lean(path.read_text("utf-8"), path.suffix).encode()
    digest = hashlib.sha384(content).digest()
    return _Asset(
        content=content,
        content_type=_CONTENT_TYPES[path.suffix],
        public_name=f"{path.stem}.{digest.hex()[:16]}{path.suffix}",
        integrity="sha384-" + base64.b64encode(digest).decode(),
    )


def _render(template: str, view: PayView | ChallengeView) -> str:
    return _environment().get_template(template).render(view=view, texts=view.texts)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(sentence=sentence, plain_sentence=plain_sentence)
    environment.globals.update(asset_url=asset_url, integrity=integrity, test_cards=TEST_CARDS)
    return environment
