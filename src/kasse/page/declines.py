"""Why a payment was declined, in the payer's words.

The wire names types of errors (checkout reference, 7.3: ``error.type``). The payer is told what he can do
about it, and never that his card is reported lost or stolen: whoever holds it may not be its owner.
"""

from __future__ import annotations

from kasse.page.languages import texts

GENERIC = "decline_generic"

DECLINES = {
    "DECLINED": "decline_declined",
    "INSUFFICIENT_FUNDS": "decline_insufficient_funds",
    "EXPIRED_CARD": "decline_expired_card",
    "PICK_UP_CARD": "decline_card_blocked",
    "RESTRICTED_CARD": "decline_restricted_card",
    "CLOSED_ACCOUNT": "decline_closed_account",
    "EXCEEDS_APPROVAL_LIMIT": "decline_over_limit",
    "EXCEEDS_WITHDRAWAL_FREQUENCY_LIMIT": "decline_too_often",
    "FAILED_VERIFICATION": "decline_verification_failed",
    "ADDITIONAL_VERIFICATION_REQUIRED": "decline_verification_needed",
    "PIN_REQUIRED": "decline_pin_required",
    "INVALID_TRANSACTION": "decline_invalid_transaction",
    "INVALID_AMOUNT": "decline_invalid_amount",
    "INVALID_MERCHANT": "decline_invalid_merchant",
    "ISSUER_ERROR": "decline_bank_error",
    "ERROR": "decline_error",
    "UNKNOWN": GENERIC,
}


def decline_text(error_type: str | None, language: str) -> str:
    """What the payer is told; a type that is not known, or none, gets the general text."""
    return texts(language)[DECLINES.get(error_type or "UNKNOWN", GENERIC)]
