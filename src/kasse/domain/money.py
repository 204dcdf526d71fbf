"""Currencies and their exponents; parts that add up.

Money is an ``int`` of minor units beside its ISO 4217 code; no float comes near it.
"""

from __future__ import annotations

from collections.abc import Sequence

from kasse.domain.refusals import Refusal

MAX_AMOUNT = 2**53
"""Amounts beyond this cannot be told apart by clients that read JSON numbers as doubles."""

_EXPONENTS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF "
    "CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD "
    "HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU "
    "MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG "
    "SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST "
    "XCD XCG YER ZAR ZMW ZWG",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
EXPONENTS: dict[str, int] = {code: digits for digits, codes in _EXPONENTS.items() for code in codes.split()}


def exponent(currency: str) -> int:
    """How many decimals ``currency`` has (ISO 4217). Raises ``Refusal`` (unknown_currency)."""
    if currency not in EXPONENTS:
        raise unknown_currency(currency)
    return EXPONENTS[currency]


def unknown_currency(currency: object, path: str = "/currency") -> Refusal:
    return Refusal("unknown_currency", f"expected an ISO 4217 currency code such as NOK, got {currency!r}", path=path)


def decimal_text(amount: int, currency: str) -> str:
    """``29990`` NOK as ``299.90``: for messages and logs; pages use the payer's locale."""
    digits = exponent(currency)
    whole, rest = divmod(abs(amount), 10**digits)
    sign = "-" if amount < 0 else ""
    return f"{sign}{whole}.{rest:0{digits}d}" if digits else f"{sign}{whole}"


def split(amount: int, weights: Sequence[int]) -> list[int]:
    """Split ``amount`` in proportion to non-negative ``weights`` so that the parts add up to it exactly.

    The units that rounding down leaves over go to the largest remainders, first come first.
    """
    total = sum(weights)
    if total <= 0:
        raise ValueError("the weights must add up to more than nothing")
    sign = -1 if amount < 0 else 1
    whole = [divmod(abs(amount) * weight, total) for weight in weights]
    left = abs(amount) - sum(part for part, _ in whole)
    first = sorted(range(len(whole)), key=lambda n: -whole[n][1])[:left]
    return [sign * (part + (n in first)) for n, (part, _) in enumerate(whole)]
