"""The pretend acquirer: what each card and amount does, and that a key means one thing for ever."""

from __future__ import annotations

import pytest

from kasse.domain.transaction import CallKind
from kasse.gateways.cards import CARDS
from kasse.gateways.port import Approved, CardRefused, Declined, Gateway, Instruction, NoAnswer, NotFound
from kasse.gateways.sandbox import Sandbox
from tests.gateways.pretend import (
    ACCOUNT,
    CHALLENGED,
    MASTERCARD,
    STEPS,
    VISA,
    MemoryBook,
    StoppedClock,
    authorized,
    card,
    code,
    payment,
    step,
    take,
)


def test_it_is_a_gateway(sandbox: Sandbox) -> None:
    gateway: Gateway = sandbox
    assert gateway.name == "sandbox"


def test_check_card_knows_the_time(sandbox: Sandbox, clock: StoppedClock) -> None:
    sandbox.check_card(ACCOUNT, card(VISA, expiry="03/26"))
    clock.move(minutes=60 * 24 * 31)
    with pytest.raises(CardRefused):
        sandbox.check_card(ACCOUNT, card(VISA, expiry="03/26"))


@pytest.mark.parametrize(
    ("number", "brand", "masked_pan", "status", "eci"),
    [
        (VISA, "Visa", "400000******0002", "Y", "05"),
        (MASTERCARD, "Mastercard", "520000******0007", "Y", "02"),
        ("4000200000000008", "Visa", "400020******0008", "A", "06"),
        ("5200000000000023", "Mastercard", "520000******0023", "A", "01"),
        ("4100000000000035", "Visa", "410000******0035", "Y", "05"),
        ("5100000000000032", "Mastercard", "510000******0032", "Y", "02"),
    ],
)
async def test_a_card_without_challenge_is_approved_at_once(
    sandbox: Sandbox, number: str, brand: str, masked_pan: str, status: str, eci: str
) -> None:
    answer = await sandbox.authorize(payment(), card(number))
    assert isinstance(answer, Approved)
    assert answer.card is not None
    assert (answer.card.brand, answer.card.masked_pan) == (brand, masked_pan)
    assert (answer.card.authentication_status, answer.card.eci) == (status, eci)
    assert (answer.card.expiry_date, answer.card.type, answer.card.country) == ("12/2030", "Credit", "NO")
    assert answer.card.three_ds_version == "2.2.0"
    assert await sandbox.look_up("authorize", payment()) == answer
    assert await sandbox.capture(step("c", 1000)) == Approved()


@pytest.mark.parametrize(("number", "eci"), [("4000300000000006", "07"), ("5200000000000031", "00")])
async def test_a_failed_authentication_is_the_payers_doing(sandbox: Sandbox, number: str, eci: str) -> None:
    answer = await sandbox.authorize(payment(amount=9955100), card(number))
    assert isinstance(answer, Declined)
    assert answer.by_payer
    assert answer.error.type == ("FAILED_VERIFICATION",)
    assert answer.card is not None
    assert (answer.card.authentication_status, answer.card.eci) == ("N", eci)
    assert await sandbox.look_up("authorize", payment(amount=9955100)) == answer


@pytest.mark.parametrize("number", [VISA, MASTERCARD, "4000200000000008"])
async def test_an_amount_makes_the_issuer_decline(sandbox: Sandbox, number: str) -> None:
    answer = await sandbox.authorize(payment(amount=9950599), card(number))
    assert isinstance(answer, Declined)
    assert not answer.by_payer
    assert (answer.error.code, answer.error.result_code, answer.error.type) == (
        "issuer_05",
        "05",
        ("DECLINED",),
    )
    assert answer.card is not None
    assert await sandbox.look_up("authorize", payment(amount=9950599)) == answer
    assert code(await sandbox.capture(step("c", 1))) == "not_authorized"


async def test_response_00_approves(sandbox: Sandbox) -> None:
    await authorized(sandbox, amount=9950000)


@pytest.mark.parametrize("amount", [0, -1])
async def test_nothing_cannot_be_authorized(sandbox: Sandbox, amount: int) -> None:
    assert code(await sandbox.authorize(payment(amount=amount), card(VISA))) == "amount_not_positive"


@pytest.mark.parametrize("number", [VISA, CHALLENGED[0]])
async def test_money_that_does_not_exist_cannot_be_authorized(sandbox: Sandbox, number: str) -> None:
    assert code(await sandbox.authorize(payment(currency="XXX"), card(number))) == "wrong_currency"


async def test_a_card_that_is_refused_leaves_no_trace(sandbox: Sandbox, book: MemoryBook) -> None:
    with pytest.raises(CardRefused):
        await sandbox.authorize(payment(), card("4111111111111111"))
    assert not book.entries


# One key, one meaning


async def test_an_authorization_is_made_once(sandbox: Sandbox, book: MemoryBook) -> None:
    first = await sandbox.authorize(payment(), card(VISA))
    written = dict(book.entries)
    assert await sandbox.authorize(payment(), card(VISA)) == first
    assert await sandbox.authorize(payment(), card(MASTERCARD)) == first
    assert book.entries == written


@pytest.mark.parametrize("again", [payment(amount=999), payment(currency="SEK")])
async def test_a_key_with_another_amount_is_declined(sandbox: Sandbox, book: MemoryBook, again: Instruction) -> None:
    first = await sandbox.authorize(payment(), card(VISA))
    written = dict(book.entries)
    assert code(await sandbox.authorize(again, card(VISA))) == "key_reused"
    assert code(await sandbox.look_up("authorize", again)) == "key_reused"
    assert book.entries == written
    assert await sandbox.authorize(payment(), card(VISA)) == first


@pytest.mark.parametrize("kind", STEPS)
async def test_a_step_is_taken_once(sandbox: Sandbox, book: MemoryBook, kind: CallKind) -> None:
    await authorized(sandbox, captured=500)
    assert await take(sandbox, kind, step("k", 200)) == Approved()
    written = dict(book.entries)
    assert await take(sandbox, kind, step("k", 200)) == Approved()
    assert await sandbox.look_up(kind, step("k", 200)) == Approved()
    assert code(await take(sandbox, kind, step("k", 201))) == "key_reused"
    assert code(await sandbox.look_up(kind, step("k", 201))) == "key_reused"
    assert code(await take(sandbox, kind, step("k", 200, currency="SEK"))) == "key_reused"
    for other in STEPS:
        if other != kind:
            assert code(await take(sandbox, other, step("k", 200))) == "key_reused"
    assert book.entries == written


@pytest.mark.parametrize("kind", STEPS)
async def test_what_was_never_asked_is_not_found(sandbox: Sandbox, book: MemoryBook, kind: CallKind) -> None:
    assert await sandbox.look_up("authorize", payment()) == NotFound()
    assert await sandbox.look_up(kind, step("k", 1)) == NotFound()
    assert not book.entries
    await authorized(sandbox)
    assert await sandbox.look_up(kind, step("k", 1)) == NotFound()


@pytest.mark.parametrize("kind", STEPS)
async def test_a_step_of_nothing_in_particular_is_a_mistake(sandbox: Sandbox, kind: CallKind) -> None:
    with pytest.raises(ValueError, match="names no authorization"):
        await take(sandbox, kind, payment("k"))


async def test_accounts_do_not_see_each_other(sandbox: Sandbox) -> None:
    await authorized(sandbox)
    elsewhere = Instruction("T87654321", "c", 1000, "NOK", authorization="a")
    assert code(await sandbox.capture(elsewhere)) == "not_authorized"
    assert await sandbox.capture(step("c", 1000)) == Approved()


# Captures, refunds, voids


async def test_no_more_is_captured_than_authorized(sandbox: Sandbox, book: MemoryBook) -> None:
    await authorized(sandbox)
    assert await sandbox.capture(step("c1", 700)) == Approved()
    declined = await sandbox.capture(step("c2", 301))
    assert isinstance(declined, Declined)
    assert declined.error.message == "the authorization has 300 left to capture, 301 was asked for"
    assert declined.error.type == ("INVALID_AMOUNT",)
    assert await sandbox.capture(step("c2", 301)) == declined
    assert await sandbox.look_up("capture", step("c2", 301)) == declined
    assert await sandbox.capture(step("c3", 300)) == Approved()
    assert book.moved("capture") == 1000


async def test_no_more_is_refunded_than_captured(sandbox: Sandbox, book: MemoryBook) -> None:
    await authorized(sandbox, captured=600)
    assert await sandbox.refund(step("r1", 400)) == Approved()
    assert code(await sandbox.refund(step("r2", 201))) == "amount_above_left"
    assert await sandbox.refund(step("r3", 200)) == Approved()
    assert book.moved("refund") == 600
    assert code(await sandbox.capture(step("c", 401))) == "amount_above_left"


@pytest.mark.parametrize("kind", STEPS)
async def test_steps_need_a_positive_amount_of_the_same_money(sandbox: Sandbox, kind: CallKind) -> None:
    await authorized(sandbox, captured=500)
    assert code(await take(sandbox, kind, step("zero", 0))) == "amount_not_positive"
    assert code(await take(sandbox, kind, step("less", -1))) == "amount_not_positive"
    assert code(await take(sandbox, kind, step("else", 1, currency="SEK"))) == "wrong_currency"


async def test_a_void_releases_what_is_not_captured(sandbox: Sandbox, book: MemoryBook) -> None:
    await authorized(sandbox, captured=300)
    assert await sandbox.void(step("v", 1000)) == Approved()
    assert book.moved("void") == 700
    assert code(await sandbox.capture(step("c", 1))) == "amount_above_left"
    assert await sandbox.refund(step("r", 300)) == Approved()
    assert await sandbox.void(step("again", 700)) == Approved()
    assert book.moved("void") == 700
    assert isinstance(await sandbox.authorize(payment(), card(VISA)), Approved)


async def test_a_void_of_a_part_keeps_the_rest(sandbox: Sandbox, book: MemoryBook) -> None:
    await authorized(sandbox)
    assert await sandbox.void(step("v", 400)) == Approved()
    assert code(await sandbox.capture(step("c1", 601))) == "amount_above_left"
    assert await sandbox.capture(step("c2", 600)) == Approved()
    assert book.moved("void") == 400


async def test_a_void_is_declined_when_everything_is_captured(sandbox: Sandbox) -> None:
    await authorized(sandbox, captured=1000)
    assert code(await sandbox.void(step("v", 1000))) == "already_captured"


async def test_a_void_of_a_declined_authorization_has_nothing_to_release(sandbox: Sandbox) -> None:
    await sandbox.authorize(payment(amount=9950500), card(VISA))
    assert await sandbox.void(step("v", 9950500)) == Approved()
    assert code(await sandbox.look_up("authorize", payment(amount=9950500))) == "issuer_05"


async def test_a_void_comes_before_the_authorization_and_forbids_it(sandbox: Sandbox) -> None:
    assert await sandbox.void(step("v", 1000)) == Approved()
    assert code(await sandbox.look_up("authorize", payment())) == "authorization_voided"
    for number in (VISA, CHALLENGED[0], "4100000000000001", "5100000000000008"):
        assert code(await sandbox.authorize(payment(), card(number))) == "authorization_voided"
    assert code(await sandbox.authorize(payment(amount=5), card(VISA))) == "authorization_voided"
    assert await sandbox.void(step("v", 1000)) == Approved()
    assert await sandbox.look_up("void", step("v", 1000)) == Approved()


async def test_a_capture_that_came_too_early_stays_declined(sandbox: Sandbox) -> None:
    early = await sandbox.capture(step("c", 1000))
    assert code(early) == "not_authorized"
    assert await sandbox.look_up("authorize", payment()) == NotFound()
    await authorized(sandbox)
    assert await sandbox.capture(step("c", 1000)) == early
    assert await sandbox.capture(step("c2", 1000)) == Approved()


@pytest.mark.parametrize("number", CARDS)
async def test_no_card_number_is_written_or_shown(sandbox: Sandbox, book: MemoryBook, number: str) -> None:
    seen: list[object] = [card(number), payment(), sandbox]
    try:
        seen.append(await sandbox.authorize(payment(), card(number, cvc="9876")))
    except NoAnswer as error:
        seen.append(error)
    seen.append(await sandbox.challenge(ACCOUNT, "a"))
    seen.append(await sandbox.look_up("authorize", payment()))
    seen.append(await sandbox.authorize(payment(amount=1), card(VISA)) if book.entries else None)
    for text in (*map(repr, seen), *map(str, seen), *book.entries.values()):
        assert number not in text
        assert "9876" not in text
