"""The payer's language: which one, its texts, its way to write money, quantities and dates."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Context, Decimal
from functools import cache
from pathlib import Path
from types import MappingProxyType

from babel import Locale
from babel.dates import format_date, format_interval, format_skeleton
from babel.numbers import format_currency, format_decimal

from kasse.domain.money import exponent

FALLBACK = "en"
LANGUAGES = ("en", "nb", "sv", "da", "fi", "de")

_FOLDER = Path(__file__).parent / "languages"
_SAME_AS = {"no": "nb", "nn": "nb"}
# English here is read by Europeans: 24 November 2026, not November 24; US$, since "$" is not everyone's.
_FORMATS = {"en": "en_GB"}
_LETTER_THEN_DIGIT = re.compile(r"([^\W\d_])(?=\d)")
_EXACT = Context(prec=40)


def choose_language(requested: str | None, accept_language: str | None) -> str:
    """The language asked for in the address, else the browser's best one that we speak, else English.

    Both come from strangers: whatever cannot be understood counts as not said.
    """
    for tag in (requested or "", *_accepted(accept_language or "")):
        language = _spoken(tag)
        if language is not None:
            return language
    return FALLBACK


def texts(language: str) -> Mapping[str, str]:
    """All texts of one of ``LANGUAGES``, by key."""
    return _texts(_known(language))


def direction(language: str) -> str:
    """``ltr`` or ``rtl``."""
    return _locale(_known(language)).text_direction


def money_text(amount_minor: int, currency: str, exponent: int, language: str) -> str:
    """``129990`` NOK with exponent 2 as ``NOK 1,299.90``, ``1 299,90 kr`` and so on.

    The exponent is the caller's, for the order was summed up with it; Babel's own table differs for some
    currencies.
    """
    amount = Decimal(amount_minor).scaleb(-exponent, _EXACT)
    text = format_currency(
        amount, currency, _money_pattern(_known(language), exponent), _locale(language), currency_digits=False
    )
    # CLDR wants a space between a currency's letters and the digits; Babel leaves it out.
    return _LETTER_THEN_DIGIT.sub("\\1\N{NO-BREAK SPACE}", text).replace("-", "\N{MINUS SIGN}")


def money(amount: int, currency: str, language: str) -> str:
    """An amount as our own table of currencies counts its minor units."""
    return money_text(amount, currency, exponent(currency), language)


def quantity_text(quantity: Decimal | float, language: str) -> str:
    """``2 ×``, ``0,5 ×``; nothing for one."""
    if quantity == 1:
        return ""
    return f"{format_decimal(quantity, locale=_locale(_known(language)))}\N{NO-BREAK SPACE}×"


def date_text(day: date, language: str) -> str:
    """``24 November 2026``, ``24. november 2026`` and so on."""
    return format_date(day, "long", _locale(_known(language)))


def days_text(first: date, last: date, language: str) -> str:
    """``Thu 26 Nov``, ``Thu 26 Nov – Sat 28 Nov`` and so on."""
    locale = _locale(_known(language))
    if first == last:
        return str(format_skeleton("MMMEd", first, locale=locale))
    return str(format_interval(first, last, "MMMEd", locale=locale))


def times_text(starts: datetime, ends: datetime, language: str) -> str:
    """``Thu 26 Nov, 10:00–12:00``, in the time zone that the times are given in."""
    locale = _locale(_known(language))
    day = format_skeleton("MMMEd", starts.date(), locale=locale)
    # Babel would move them to its own time zone.
    times = format_interval(starts.replace(tzinfo=None), ends.replace(tzinfo=None), "Hm", locale=locale)
    return f"{day}, {times}".replace("\N{EN DASH}", "\N{WORD JOINER}\N{EN DASH}\N{WORD JOINER}")


def territories(language: str) -> Mapping[str, str]:
    """The names of countries and other territories, by code."""
    found: Mapping[str, str] = _locale(_known(language)).territories
    return found


def number_text(number: Decimal | float, language: str) -> str:
    """``0,5`` or ``1.234``."""
    return str(format_decimal(number, locale=_locale(_known(language))))


def _spoken(tag: str) -> str | None:
    """``nb-NO``, ``NB_no``, ``nn`` as ``nb``; ``None`` for a language without texts."""
    language = re.split("[-_]", tag.strip().lower(), maxsplit=1)[0]
    language = _SAME_AS.get(language, language)
    return language if language in LANGUAGES else None


def _known(language: str) -> str:
    return _spoken(language) or FALLBACK


def _accepted(header: str) -> Iterator[str]:
    """The tags of an Accept-Language header, best first; ``q=0`` means "not this one"."""
    weighed = []
    for entry in header.split(","):
        tag, _, parameters = entry.partition(";")
        weighed.append((_weight(parameters), tag))
    weighed.sort(key=lambda pair: -pair[0])
    return (tag for weight, tag in weighed if weight > 0)


def _weight(parameters: str) -> float:
    """RFC 9110, 12.4.2: ``q=0`` to ``q=1`` with at most three decimals, 1 if it is not there."""
    if not parameters.strip():
        return 1.0
    match = re.fullmatch(r"\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*", parameters, re.IGNORECASE)
    return min(float(match[1]), 1.0) if match else 0.0


@cache
def _texts(language: str) -> Mapping[str, str]:
    return MappingProxyType(json.loads((_FOLDER / f"{language}.json").read_text("utf-8")))


@cache
def _locale(language: str) -> Locale:
    return Locale.parse(_FORMATS.get(language, language))


@cache
def _money_pattern(language: str, exponent: int) -> str:
    """The language's pattern for money, such as ``#,##0.00 ¤``, with ``exponent`` decimals."""
    pattern: str = _locale(language).currency_formats["standard"].pattern
    return pattern.replace("0.00", "0." + "0" * exponent if exponent else "0")
