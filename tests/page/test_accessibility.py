"""axe-core finds nothing to complain about, in any state, by day and by night."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, Literal

import pytest

from tests.page.browsing import Browsing, Payer
from tests.page.conftest import Payers
from tests.page.states import STATES, Shopping

pytestmark = pytest.mark.browser

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


@cache
def axe() -> str:
    return files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")


def violations(payer: Payer) -> list[str]:
    found: list[dict[str, Any]] = payer.page.evaluate(
        f"""async () => {{
            {axe()};
            const {{ violations }} = await axe.run(document, {{ resultTypes: ["violations"] }});
            return violations.map(({{ id, help, nodes }}) => ({{ id, help, nodes: nodes.map((node) =>
                [node.html, node.failureSummary]) }}));
        }}"""
    )
    return [f"{each['id']}: {each['help']}: {each['nodes']}" for each in found]


@pytest.mark.parametrize("state", sorted(STATES))
def test_nothing_stands_in_anyones_way(shopping: Shopping, payers: Payers, browsing: Browsing, state: str) -> None:
    payer = payers(reduced_motion="reduce")
    STATES[state](shopping, payer, {})
    for width, height in ((1280, 900), (390, 844)):
        payer.page.set_viewport_size({"width": width, "height": height})
        for scheme in SCHEMES:
            payer.page.emulate_media(color_scheme=scheme)
            assert violations(payer) == [], f"{scheme}, {width} px wide"
