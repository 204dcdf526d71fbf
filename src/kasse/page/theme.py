"""The merchant's colours and radii, as a style sheet of its own: never a colour that cannot be read.

Source: checkout reference, 3.5, ``configuration.theme``. Contrasts are those of WCAG 2.2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Colour = tuple[float, float, float]

WHITE, BLACK = (255.0, 255.0, 255.0), (0.0, 0.0, 0.0)
SURFACES = {"light": WHITE, "dark": (26.0, 32.0, 30.0)}
READABLE = 5.2
"""A little above 4.5, for texts that stand on a tint of the same colour."""
_HEX = re.compile(r"#([0-9a-f]{3,4}|[0-9a-f]{6}|[0-9a-f]{8})", re.ASCII | re.IGNORECASE)
_RGB = re.compile(r"rgba?\(([^()]*)\)", re.ASCII | re.IGNORECASE)
_RADIUS = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,2})?)(?:px)?", re.ASCII)


def theme_css(theme: Any) -> str:
    """The style sheet of a theme; empty where it says nothing that can be used."""
    if not isinstance(theme, Mapping):
        return ""
    rules = []
    primary, backdrop = _colour(theme.get("primary")), _colour(theme.get("backdrop"))
    if primary is not None:
        rules.append(f":root {{ {_accents(primary, SURFACES['light'])} }}")
        rules.append(f"@media (prefers-color-scheme: dark) {{ :root {{ {_accents(primary, SURFACES['dark'])} }} }}")
    if backdrop is not None:
        rules.append(f"html:not(.inline) body {{ background: {_css(backdrop)}; }}")
        ink = _opposite(backdrop)
        accent = _readable(primary or ink, backdrop)
        rules.append(
            f"html:not(.inline) :is(.summary, .languages) {{ --ink: {_css(ink)}; "
            f"--ink-soft: {_css(_mix(ink, backdrop, 0.12))}; "
            f"--accent: {_css(accent)}; --accent-tint: {_css(_mix(backdrop, accent, 0.05))}; "
            f"--rule: {_css(_mix(backdrop, ink, 0.2))}; color: var(--ink); }}"
        )
    card, button = _radius(theme.get("cardRadius")), _radius(theme.get("buttonRadius"))
    if card is not None:
        rules.append(f"@media (min-width: 40rem) {{ .panel {{ border-radius: {card}px; }} }}")
    if button is not None:
        rules.append(f".button, .button:focus-visible {{ border-radius: {button}px; }}")
    return "\n".join(rules)


def _accents(primary: Colour, surface: Colour) -> str:
    accent = _readable(primary, surface)
    on_accent = _opposite(accent)
    away = BLACK if on_accent == WHITE else WHITE
    return (
        f"--accent: {_css(accent)}; --accent-strong: {_css(_mix(accent, away, 0.2))}; "
        f"--on-accent: {_css(on_accent)}; --accent-tint: {_css(_mix(surface, accent, 0.08))};"
    )


def _readable(colour: Colour, ground: Colour) -> Colour:
    """The colour, moved towards black or white until it can be read on the ground."""
    end = _opposite(ground)
    steps = (_mix(colour, end, step / 20) for step in range(21))
    return next((each for each in steps if contrast(each, ground) >= READABLE), end)


def _opposite(ground: Colour) -> Colour:
    return WHITE if contrast(WHITE, ground) >= contrast(BLACK, ground) else BLACK


def contrast(one: Colour, other: Colour) -> float:
    """From 1, the same, to 21, black on white."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: Colour) -> float:
    shares = [value / 255 for value in colour]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _mix(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (a + (b - a) * share for a, b in zip(one, other, strict=True))
    return red, green, blue


def _css(colour: Colour) -> str:
    return "#" + "".join(f"{round(value):02x}" for value in colour)


def _colour(value: Any) -> Colour | None:
    """``#rgb``, ``#rrggbb``, ``rgb()`` and ``rgba()``; what shines through is white."""
    if not isinstance(value, str):
        return None
    if found := _HEX.fullmatch(value.strip()):
        digits = found[1] if len(found[1]) > 4 else "".join(each * 2 for each in found[1])
        numbers = [int(digits[n : n + 2], 16) for n in range(0, len(digits), 2)]
        return _solid(numbers[:3], numbers[3] / 255 if len(numbers) == 4 else 1.0)
    if found := _RGB.fullmatch(value.strip()):
        try:
            numbers_and_alpha = [float(part) for part in found[1].split(",")]
        except ValueError:
            return None
        if len(numbers_and_alpha) in (3, 4):
            return _solid(numbers_and_alpha[:3], (numbers_and_alpha[3:] or [1.0])[0])
    return None


def _solid(colour: list[float] | list[int], alpha: float) -> Colour | None:
    if not all(0 <= value <= 255 for value in colour) or not 0 <= alpha <= 1:
        return None
    red, green, blue = (float(value) for value in colour)
    return _mix(WHITE, (red, green, blue), alpha)


def _radius(value: Any) -> str | None:
    """In pixels, 0 to 100."""
    found = None if isinstance(value, bool) else _RADIUS.fullmatch(str(value))
    return found[1] if found and float(found[1]) <= 100 else None
