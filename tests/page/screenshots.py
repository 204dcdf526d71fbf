"""Pictures of the page in each state, to look at: ``make screenshots``, or ``python -m tests.page.screenshots FOLDER``.

The folder gets an ``index.html`` that shows them all beside each other.

``python -m tests.page.screenshots --readme`` makes ``docs/images/page.png`` instead.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import structlog

from tests.page.browsing import Browsing, Payer
from tests.page.merchant import open_merchant
from tests.page.states import STATES, OwnTime, Shopping
from tests.running import Running, running

SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
LANGUAGES = ("en", "nb")
README = Path(__file__).parents[2] / "docs/images/page.png"
README_SIZE_LIMIT = 200_000

_INDEX = """<!doctype html>
<meta charset="utf-8"><title>The page in each state</title>
<style>
  body { font: 1rem system-ui, sans-serif; background: #888; }
  div { display: flex; align-items: start; gap: 0.5rem; overflow-x: auto; }
  img { height: 30rem; }
</style>
"""

# Desktop and phone side by side on a plain ground.
_SIDE_BY_SIDE = """<!doctype html>
<style>
  body { margin: 0; width: 1120px; height: 640px; position: relative; background: #dfe3dc; }
  img { position: absolute; box-shadow: 0 0 0 1px rgb(0 0 0 / 8%), 0 8px 20px -8px rgb(0 0 0 / 25%); }
  .desktop { left: 40px; top: 53px; width: 760px; border-radius: 10px; }
  .phone { right: 40px; top: 56px; width: 244px; border-radius: 22px; }
</style>
<img class="desktop" src="desktop.png"><img class="phone" src="phone.png">
"""


def main(asked: str) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    clock, browsing = OwnTime(), Browsing()
    try:
        with running(clock=clock, look_up_after=1.0) as server:
            if asked == "--readme":
                browsing.run(lambda: picture_for_readme(browsing, server, clock))
            else:
                browsing.run(lambda: pictures(browsing, server, clock, Path(asked)))
    finally:
        browsing.stop()


def pictures(browsing: Browsing, server: Running, clock: OwnTime, folder: Path) -> None:
    """Every state in every size, colour scheme and language."""
    folder.mkdir(parents=True, exist_ok=True)
    for state in STATES:
        for language in LANGUAGES:
            payer = Payer.sits_down(browsing.browser, reduced_motion="reduce")
            with brought(payer, server, clock, state, language):
                for size, (width, height) in SIZES.items():
                    payer.page.set_viewport_size({"width": width, "height": height})
                    for scheme in SCHEMES:
                        payer.page.emulate_media(color_scheme=scheme)
                        path = folder / picture_name(state, size, scheme, language)
                        payer.page.screenshot(path=path, full_page=True)
                        print(path)
            payer.context.close()
    (folder / "index.html").write_text(index(), "utf-8")


def picture_name(state: str, size: str, scheme: str, language: str) -> str:
    return f"{state}-{size}-{scheme}-{language}.png"


def index() -> str:
    """All pictures on one page, a row for each state."""
    rows = (
        f"<h2>{state}</h2><div>"
        + "".join(
            f'<a href="{name}"><img loading="lazy" src="{name}" alt="{name}"></a>'
            for language in LANGUAGES
            for size in SIZES
            for scheme in SCHEMES
            for name in [picture_name(state, size, scheme, language)]
        )
        + "</div>"
        for state in STATES
    )
    return _INDEX + "".join(rows)


@contextmanager
def brought(payer: Payer, server: Running, clock: OwnTime, state: str, language: str) -> Iterator[None]:
    """The page in a state, as long as the merchant's server is there: some states are about waiting for it."""
    with open_merchant() as merchant:
        STATES[state](Shopping(server, server.shop(), merchant, clock), payer, {"language": language})
        yield


def picture_for_readme(browsing: Browsing, server: Running, clock: OwnTime) -> None:
    """The page before paying, composed by the browser itself."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size, (width, height) in SIZES.items():
            payer = Payer.sits_down(
                browsing.browser, viewport={"width": width, "height": height}, device_scale_factor=2
            )
            with brought(payer, server, clock, "ready", "en"):
                payer.page.screenshot(path=folder / f"{size}.png")
            payer.context.close()
        (folder / "page.html").write_text(_SIDE_BY_SIDE, "utf-8")
        composer = Payer.sits_down(browsing.browser, viewport={"width": 1120, "height": 640}, device_scale_factor=2)
        composer.page.goto((folder / "page.html").as_uri())
        README.parent.mkdir(parents=True, exist_ok=True)
        composer.page.screenshot(path=README)
        composer.context.close()
    size_in_bytes = README.stat().st_size
    print(f"{README}: {size_in_bytes} bytes")
    assert size_in_bytes <= README_SIZE_LIMIT


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
