"""The first view is light, and nothing in it moves once it is there."""

from __future__ import annotations

import pytest

from tests.page.browsing import Browsing, Payer
from tests.page.conftest import Payers
from tests.page.states import STATES, Shopping

pytestmark = pytest.mark.browser

MOST_BYTES = 50_000
WATCH = """
    window.shifted = 0;
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) if (!entry.hadRecentInput) shifted += entry.value;
    }).observe({ type: "layout-shift", buffered: true });
"""


@pytest.mark.parametrize(
    "state",
    ["ready", "framed", "launcher", "themed", "express_address", "express_framed", "several_ways", "unavailable"],
)
def test_script_and_style_are_light_and_the_first_view_stands_still(
    shopping: Shopping, payers: Payers, browsing: Browsing, state: str
) -> None:
    payer: Payer = payers(viewport={"width": 390, "height": 844})
    sizes: dict[str, int] = {}
    payer.page.on(
        "response",
        lambda answer: (
            sizes.update({answer.url: len(answer.body())})
            if answer.request.resource_type in ("script", "stylesheet")
            else None
        ),
    )
    payer.context.add_init_script(WATCH)
    STATES[state](shopping, payer, {})
    payer.page.wait_for_load_state("load")
    assert sizes, "the page has a script and a style"
    assert sum(sizes.values()) < MOST_BYTES
    assert payer.page.evaluate("shifted") < 0.02
