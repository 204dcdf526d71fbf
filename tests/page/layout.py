"""What must be true of every page's layout, whichever way it is read."""

from __future__ import annotations

from tests.page.browsing import Payer


def check_width(payer: Payer, case: str) -> None:
    """No scrolling sideways, nothing beyond the edges, and what there is to press can be pressed."""
    width, widest, beyond = payer.page.evaluate(
        """() => [innerWidth, document.documentElement.scrollWidth,
            [...document.querySelectorAll("body *")].filter((each) => each.checkVisibility()).filter((each) => {
                const { left, right, width } = each.getBoundingClientRect();
                return width && (left < 0 || right > innerWidth + 0.5);
            }).map((each) => each.outerHTML.slice(0, 80))]"""
    )
    assert widest <= width, case
    assert beyond == [], case
    for button in payer.page.locator("main .button:not(:disabled):visible").all():
        button.scroll_into_view_if_needed()
        button.click(trial=True)
        cut_off = button.evaluate(
            "each => each.scrollWidth > each.clientWidth || each.scrollHeight > each.clientHeight"
        )
        assert not cut_off, case


def check_apart(payer: Payer, case: str) -> None:
    """No two things to press or to fill in lie over each other."""
    overlapping = payer.page.evaluate(
        """() => {
            const all = [...document.querySelectorAll(
                    "a, button, input:not([type=hidden]), select, summary, .option > label")]
                .filter((each) => each.checkVisibility() && each.getBoundingClientRect().width > 1)
                .map((each) => [each, each.getBoundingClientRect()]);
            const found = [];
            for (const [one, a] of all) for (const [other, b] of all) {
                if (one === other || one.contains(other) || other.contains(one)) continue;
                if (other.matches("label") && other.control === one) continue;
                if (one.matches("label") && one.control === other) continue;
                const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
                const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
                if (wide > 1 && high > 1) found.push([one.outerHTML.slice(0, 80), other.outerHTML.slice(0, 80)]);
            }
            return found;
        }"""
    )
    assert overlapping == [], case


def sentences_torn_apart(payer: Payer) -> list[str]:
    """Sentences whose words are boxes of their own, so that the spaces between them are lost or widened."""
    found: list[str] = payer.page.evaluate(
        """() => [...document.querySelectorAll("bdi")].map((each) => each.parentElement)
            .filter((each) => /flex|grid/.test(getComputedStyle(each).display))
            .filter((each) => [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
            .map((each) => each.outerHTML.slice(0, 80))"""
    )
    return found


def amounts_out_of_order(payer: Payer) -> list[str]:
    """Amounts and other texts of a direction of their own whose letters do not stand in the order that they are
    written in; and amounts that have none, whose place in a sentence is left to what stands beside them."""
    found: list[str] = payer.page.evaluate(
        """() => [...document.querySelectorAll(
                "bdi, .total, .sum, .quantity, .option-price, .facts dd, .test dd, [type=submit] [data-label] bdi"
            )].filter((each) => each.checkVisibility()).filter((each) => !/[\\u0590-\\u08ff]/.test(each.textContent))
            .filter((each) => {
                const places = [];
                const walker = document.createTreeWalker(each, NodeFilter.SHOW_TEXT);
                while (walker.nextNode()) for (let n = 0; n < walker.currentNode.length; n++) {
                    const range = document.createRange();
                    range.setStart(walker.currentNode, n);
                    range.setEnd(walker.currentNode, n + 1);
                    const { left, top, width } = range.getBoundingClientRect();
                    if (width && walker.currentNode.data[n].trim()) places.push({ left, top });
                }
                return places.some(({ left, top }, n) =>
                    n && Math.abs(top - places[n - 1].top) < 4 && left < places[n - 1].left);
            }).map((each) => each.textContent.trim())"""
    )
    bare: list[str] = payer.page.evaluate(
        """() => {
            const bare = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
            while (walker.nextNode()) {
                const { data, parentElement } = walker.currentNode;
                const amount = /\\d[.,]\\d\\d\\s(kr|NOK)|(kr|NOK)\\s\\d/.exec(data.replace(/\\u2068.*?\\u2069/g, ""));
                // Behind words that are read in its own direction it is safe.
                const safe = amount && /\\p{L}/u.test(data.slice(0, amount.index)) && !/[\\u0590-\\u08ff]/.test(data);
                if (amount && !safe && !parentElement.closest("bdi")) bare.push(data.trim());
            }
            return bare;
        }"""
    )
    return found + bare
