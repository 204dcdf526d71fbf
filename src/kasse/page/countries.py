"""The countries that an address may be in, by their names in the payer's language."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import cache
from typing import Any

from kasse.page.languages import territories

# What the table of territories names besides countries: unions, tests and islands without addresses of their own.
_NO_COUNTRIES = frozenset(["AC", "CP", "CQ", "DG", "EA", "EU", "EZ", "IC", "QO", "TA", "UN", "XA", "XB", "ZZ"])
# fmt: off
WITHOUT_POSTAL_CODES = frozenset([
    "AE", "AG", "AO", "AW", "BF", "BI", "BJ", "BO", "BS", "BW", "BZ", "CF", "CG", "CI", "CM", "DJ", "DM", "ER", "FJ",
    "GD", "GH", "GM", "GN", "GQ", "GY", "HK", "JM", "KI", "KM", "KN", "KP", "LC", "ML", "MO", "MR", "MS", "MW", "NR",
    "NU", "QA", "RW", "SB", "SC", "SL", "SR", "ST", "SY", "TD", "TF", "TG", "TK", "TL", "TO", "TT", "TV", "UG", "VU",
    "YE", "ZW",
])
# fmt: on
_LAST = str.maketrans({"æ": "z1", "ä": "z1", "ø": "z2", "ö": "z2", "å": "z3"})
_LAST_SWEDISH = str.maketrans({"å": "z1", "ä": "z2", "ö": "z3"})


def countries(configuration: Mapping[str, Any], language: str) -> tuple[tuple[str, str], ...]:
    """Code and name of each country that the configuration allows, in the order of the language's alphabet."""
    settings = _settings(configuration)
    allowed, denied = settings.get("allow_countries") or (), settings.get("deny_countries") or ()
    return tuple(
        (code, name) for code, name in _all(language) if (not allowed or code in allowed) and code not in denied
    )


def preferred(configuration: Mapping[str, Any]) -> str:
    """The code of the country that an address is in unless the payer says otherwise; empty for none."""
    found = _settings(configuration).get("preferred_country")
    return found if isinstance(found, str) else ""


def country_name(code: str, language: str) -> str:
    """The name of a country; the code itself where there is none."""
    return territories(language).get(code, code)


def _settings(configuration: Mapping[str, Any]) -> Mapping[str, Any]:
    found = configuration.get("countries")
    return found if isinstance(found, dict) else {}


@cache
def _all(language: str) -> tuple[tuple[str, str], ...]:
    names = territories(language)
    found = [(code, names[code]) for code in names if len(code) == 2 and code not in _NO_COUNTRIES]
    return tuple(sorted(found, key=lambda country: _order(country[1], language)))


def _order(name: str, language: str) -> str:
    """Å is the last letter in the north, and an A with a ring elsewhere."""
    name = name.casefold()
    if language in ("nb", "da"):
        name = name.translate(_LAST)
    elif language in ("sv", "fi"):
        name = name.translate(_LAST_SWEDISH)
    return "".join(letter for letter in unicodedata.normalize("NFKD", name) if not unicodedata.combining(letter))
