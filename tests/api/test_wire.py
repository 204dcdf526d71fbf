"""Bodies that a look at the bytes clears are exactly those in which a look at every value finds nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kasse.api import wire
from kasse.domain.refusals import Refusal

_texts = st.text(st.characters(codec=None, categories=None, max_codepoint=0x10FFFF), max_size=6)
_numbers = st.integers(-(2**70), 2**70) | st.floats()
_values = st.recursive(
    st.none() | st.booleans() | _numbers | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=12,
)
_deep = st.integers(50, 80).map(lambda depth: b"[" * depth + b"]" * depth)
_pieces = st.lists(
    st.sampled_from(
        ["{", "}", "[", "]", ":", ",", '"a"', '"b"', "1", "1.0", "1e400", "NaN", "9" * 19, '"\\u0000"', " "]
    ),
    max_size=14,
).map(lambda pieces: "".join(pieces).encode())


def _bytes(value: Any, escaped: bool) -> bytes:
    return json.dumps(value, ensure_ascii=escaped).encode("utf-8", "surrogatepass")


_bodies = st.builds(_bytes, _values, st.booleans()) | _deep | _pieces | st.binary(max_size=12)


def _outcome(raw: bytes) -> Any:
    try:
        # As text, because 1, 1.0 and True are equal.
        return repr(wire.parse(raw))
    except Refusal as refusal:
        return refusal.reason, refusal.message


@given(_bodies)
@example(b'{"a":1,"a":2}')
@example(b'{"a":"\\u0000"}')
@example(b'"\\ud800"')
@example(b"9223372036854775808")
@example(b"-9223372036854775809")
@example(b"[2.0, 2.5, 1e300, 1e400]")
@example(b"[" * 64 + b"]" * 64)
@example(b"[" * 66 + b"]" * 66)
@example("\ufeff{}".encode())
def test_a_look_at_the_bytes_comes_to_the_same_as_a_look_at_every_value(raw: bytes) -> None:
    quick = _outcome(raw)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire, "_cannot_hurt", lambda raw: False)
        assert quick == _outcome(raw)


def test_most_bodies_are_cleared_by_their_bytes() -> None:
    assert wire._cannot_hurt('{"items": [{"line_id": 1, "amount": 12300}], "note": "Blåbær"}'.encode())
