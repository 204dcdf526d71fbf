"""Sentences with something put into them that may be read in another direction: an amount, a merchant's name, a code.

Whatever is put in is isolated, so that "1 299,00 kr" stays that, and what stands around it stays in its place. Source:
Unicode Standard Annex 9, 2.4.
"""

from __future__ import annotations

import unicodedata

from markupsafe import Markup, escape

_TO_THE_LEFT = frozenset({"R", "AL"})


def sentence(text: str, **values: object) -> Markup:
    """A text of the page as HTML, each value in a ``bdi`` of its own."""
    return escape(text).format(**{name: Markup("<bdi>{}</bdi>").format(value) for name, value in values.items()})


def plain_sentence(text: str, **values: object) -> str:
    """The same where no HTML may be, as in a title or an attribute: isolated by characters, where directions meet."""
    whole = text.format(**values)
    if not any(unicodedata.bidirectional(letter) in _TO_THE_LEFT for letter in whole):
        return whole
    isolated = {name: f"\N{FIRST STRONG ISOLATE}{value}\N{POP DIRECTIONAL ISOLATE}" for name, value in values.items()}
    return text.format(**isolated)
