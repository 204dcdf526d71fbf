"""How a payer came to the page: what its address asks for, and whether a shop has put it into a frame.

Whatever is understood is taken along to every next page, so that a payer who comes back from his bank finds the page
as the shop wanted it. Source: page reference, sections 8 and 9; checkout reference, section 11.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from kasse.page.languages import choose_language

POP_OUT_LAUNCHER = "pop_out_launcher"
POP_OUT_PAYMENT = "pop_out_payment"


def _one_of(*values: str) -> Callable[[str], bool]:
    return lambda value: value in values


def _like(pattern: str) -> Callable[[str], bool]:
    return lambda value: re.fullmatch(pattern, value, re.ASCII) is not None


_UNDERSTOOD: Mapping[str, Callable[[str], bool]] = {
    "sdk": _like(r"[\w.+-]{1,32}"),
    "ui": _one_of("inline", "fullscreen"),
    "role": _one_of(POP_OUT_LAUNCHER, POP_OUT_PAYMENT),
    "client_side_validation": _one_of("true"),
    "client_side_address_callback": _one_of("true"),
    "hide_test_message": _one_of("true"),
    "sdk_hostname": _like(r"[\w.:\[\]-]{1,255}"),
    "sdk_not_top_level": _one_of("true"),
}


@dataclass(frozen=True)
class Visit:
    """``asked`` holds the parameters that are understood, by name. ``loading`` is a pop-out whose shop is still
    checking the order: it is not taken along."""

    language: str
    asked: Mapping[str, str]
    loading: bool = False

    @property
    def query(self) -> str:
        """What every address of the page takes along."""
        return urlencode(self.carried)

    @property
    def carried(self) -> dict[str, str]:
        return {"language": self.language, **self.asked}

    def spoken_in(self, language: str) -> Visit:
        return replace(self, language=language)

    @property
    def role(self) -> str:
        return self.asked.get("role", "")

    @property
    def inline(self) -> bool:
        """Whether the page is a part of the shop's, so that it has the height of its content."""
        return self.asked.get("ui") == "inline" or self.role == POP_OUT_LAUNCHER

    @property
    def embedded(self) -> bool:
        """Whether another window may be listening; then it is told how it ends, and leads the payer on itself.

        The script of a shop that only sends the payer here says ``sdk``, but neither ``ui`` nor ``role``.
        """
        return "ui" in self.asked or self.role != ""

    def asks(self, name: str) -> bool:
        return self.asked.get(name) == "true"


def read_visit(query: Mapping[str, str], headers: Mapping[str, str]) -> Visit:
    """Both come from strangers: what is not understood counts as not said.

    Browsers tell when they load a page into a frame; then it is one, whatever its address says.
    """
    asked = {name: query[name] for name, fits in _UNDERSTOOD.items() if name in query and fits(query[name])}
    if headers.get("sec-fetch-dest") in ("iframe", "frame"):
        asked.setdefault("ui", "inline")
    return Visit(
        language=choose_language(query.get("language"), headers.get("accept-language")),
        asked=asked,
        loading=query.get("loader") == "true" and asked.get("role") == POP_OUT_PAYMENT,
    )
