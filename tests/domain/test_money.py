"""Currencies with any number of decimals, and parts that add up."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasse.domain.money import EXPONENTS, decimal_text, exponent, split
from kasse.domain.refusals import Refusal

AMOUNTS = st.integers(-(2**53), 2**53)
WEIGHTS = st.lists(st.integers(0, 10**12), min_size=1, max_size=12).filter(lambda weights: sum(weights) > 0)


@pytest.mark.parametrize(("currency", "digits"), [("JPY", 0), ("NOK", 2), ("EUR", 2), ("KWD", 3), ("CLF", 4)])
def test_a_currency_has_the_decimals_of_iso_4217(currency: str, digits: int) -> None:
    assert exponent(currency) == digits


def test_every_code_is_three_capital_letters() -> None:
    assert all(len(code) == 3 and code.isascii() and code.isalpha() and code.isupper() for code in EXPONENTS)


@pytest.mark.parametrize("code", ["", "nok", "NOKK", "XXX", "ABC", "NO", " NOK"])
def test_an_unknown_code_is_refused_by_name(code: str) -> None:
    with pytest.raises(Refusal) as refused:
        exponent(code)
    assert refused.value.reason == "unknown_currency"
    assert refused.value.path == "/currency"
    assert repr(code) in refused.value.message


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (29990, "NOK", "299.90"),
        (5, "NOK", "0.05"),
        (0, "NOK", "0.00"),
        (-5, "NOK", "-0.05"),
        (-29990, "NOK", "-299.90"),
        (29990, "JPY", "29990"),
        (-7, "JPY", "-7"),
        (1, "KWD", "0.001"),
        (123456, "KWD", "123.456"),
        (12345, "CLF", "1.2345"),
        (2**53, "NOK", "90071992547409.92"),
    ],
)
def test_an_amount_is_written_with_the_decimals_of_its_currency(amount: int, currency: str, text: str) -> None:
    assert decimal_text(amount, currency) == text


@given(AMOUNTS, st.sampled_from(sorted(EXPONENTS)))
def test_a_written_amount_is_exact(amount: int, currency: str) -> None:
    assert Fraction(decimal_text(amount, currency)) * 10 ** exponent(currency) == amount


def test_left_over_units_go_to_the_largest_remainders_first_come_first() -> None:
    assert split(100, [1, 1, 1]) == [34, 33, 33]
    assert split(101, [1, 1, 1]) == [34, 34, 33]
    assert split(10, [1, 2, 3]) == [2, 3, 5]
    assert split(5, [1, 8, 1]) == [1, 4, 0]
    assert split(-100, [1, 1, 1]) == [-34, -33, -33]


@given(AMOUNTS, WEIGHTS)
def test_parts_add_up_exactly_and_each_is_less_than_one_unit_off(amount: int, weights: list[int]) -> None:
    parts = split(amount, weights)
    assert sum(parts) == amount
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - Fraction(amount * weight, sum(weights))) < 1
        assert part * amount >= 0
        assert weight or not part


@given(AMOUNTS, WEIGHTS)
def test_splitting_is_deterministic_and_mirrored_for_negative_amounts(amount: int, weights: list[int]) -> None:
    parts = split(amount, weights)
    assert parts == split(amount, tuple(weights))
    assert [-part for part in parts] == split(-amount, weights)


@pytest.mark.parametrize("weights", [[], [0], [0, 0]])
def test_nothing_to_split_by_is_a_mistake_of_ours(weights: list[int]) -> None:
    with pytest.raises(ValueError, match="add up to more than nothing"):
        split(100, weights)
