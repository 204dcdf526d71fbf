"""Bodies in and out: strict about what would hurt, tolerant where real clients differ.

Source: design, section 6; auth reference, A-8 and A-14.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Annotated, Any, NoReturn, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, inspect
from starlette.responses import Response

from kasse.domain.money import MAX_AMOUNT
from kasse.domain.refusals import Refusal

T = TypeVar("T")

JSON = "application/json; charset=utf-8"
MAX_DEPTH = 64
_NOISE = 1e-6  # what is left of a whole number after some clients have multiplied by a hundred: 29989.999999999996

Amount = Annotated[int, Meta(ge=-MAX_AMOUNT, le=MAX_AMOUNT, description="Minor units of the currency.")]
Text = Annotated[str, Meta(max_length=1000)]
Reference = Annotated[str, Meta(min_length=1, max_length=255)]
LineId = Annotated[int | str, Meta(description="An integer, or the same as a string.")]
Time = Annotated[datetime, Meta(tz=True, description="RFC 3339, with Z or an offset.")]


class ErrorItem(msgspec.Struct):
    """One thing that is wrong: ``path`` is a JSON Pointer into the body."""

    path: str
    keyword: str
    message: str


class ErrorDetails(msgspec.Struct):
    code: str
    message: str
    errors: list[ErrorItem]


class ErrorBody(msgspec.Struct):
    """Every refusal has this body."""

    error: ErrorDetails


def parse(raw: bytes) -> Any:
    """Read JSON in UTF-8. Integral floats become integers, and so do those that miss one by noise.

    Raises ``Refusal``: bad_json, duplicate_key, wrong_value (NUL, lone surrogates, integers beyond 64 bits).
    """
    try:
        value = _DECODER.decode(raw.decode("utf-8-sig"))
    except RecursionError:
        raise _too_deep() from None
    except UnicodeDecodeError:
        raise Refusal("bad_json", "expected JSON in UTF-8, got bytes that are not UTF-8") from None
    except ValueError as error:
        raise Refusal("bad_json", f"expected JSON, {_reason(error)}") from None
    if not _cannot_hurt(raw):
        _check(value, "", 0)
    return value


def _cannot_hurt(raw: bytes) -> bool:
    """Whether a look at the bytes is enough to know that ``_check`` would find nothing; most bodies are like that.

    In UTF-8, NUL and half a surrogate pair can only be written as an escape; a number of 18 digits fits into 64 bits.
    """
    nesting = raw.count(b"{") + raw.count(b"[")
    return b"\\u" not in raw and nesting <= MAX_DEPTH and not _LONG_NUMBER.search(raw)


def _reason(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"got something else: {error.msg.lower()} at character {error.pos}"
    return "got a number with too many digits"


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        [(twice, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise Refusal("duplicate_key", f"expected each key of an object once, got {twice[:100]!r} twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise Refusal("bad_json", f"expected JSON, got the number {name}, which JSON does not have")


def _integer_if_whole(text: str) -> float | int:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise Refusal("wrong_value", f"expected a number that a double can hold, got {text[:40]}")
    nearest = round(number)
    return nearest if abs(number - nearest) <= _NOISE and abs(number) <= MAX_AMOUNT else number


_DECODER = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_constant=_no_constant, parse_float=_integer_if_whole)
_LONG_NUMBER = re.compile(rb"[0-9]{19}")


def _check(value: Any, path: str, depth: int) -> None:
    """What JSON allows and the database or other clients do not."""
    if depth > MAX_DEPTH:
        raise _too_deep()
    if isinstance(value, str):
        _check_text(value, path)
    elif isinstance(value, dict):
        for key, each in value.items():
            _check_text(key, path)
            _check(each, pointer(path, key), depth + 1)
    elif isinstance(value, list):
        for n, each in enumerate(value):
            _check(each, f"{path}/{n}", depth + 1)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise Refusal("wrong_value", f"expected a number within 64 bits, got {str(value)[:40]}", path=path)


def _check_text(text: str, path: str) -> None:
    if text.isascii() and "\0" not in text:
        return
    if "\0" in text:
        raise Refusal("wrong_value", "expected text without NUL characters, got one with", path=path)
    if not text.isprintable() and any("\ud800" <= character <= "\udfff" for character in text):
        # The path itself may hold the surrogate, so it is left out of the answer.
        raise Refusal("wrong_value", "expected Unicode text, got half of a surrogate pair")


def _too_deep() -> Refusal:
    return Refusal("bad_json", f"expected at most {MAX_DEPTH} levels of nesting, got more")


def pointer(path: str, *steps: object) -> str:
    """Go on from a JSON Pointer (RFC 6901)."""
    return path + "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]+)`")
_AT = re.compile(r" - at `(?P<path>[^`]*)`$")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]|\[\.\.\.\]")
_TYPES = re.compile(r"`([^`]+)`")
_WORDS = {
    "int": "an integer",
    "str": "a string",
    "bool": "true or false",
    "float": "a number",
    "object": "an object",
    "array": "an array",
    "null": "null",
    "datetime": "a time such as 2026-02-03T09:00:00Z",
}
_KINDS = {bool: "bool", int: "int", float: "float", str: "str", list: "array", dict: "object", type(None): "null"}


def typed(value: Any, type_: type[T]) -> T:
    """Check a body against its struct. Raises ``Refusal`` naming the path, what was expected and what came."""
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        raise _refusal(str(error), value, type_) from None


def _refusal(text: str, value: Any, type_: type) -> Refusal:
    at = _AT.search(text)
    expected, _, got = _AT.sub("", text).partition(", got ")
    steps = _steps(at.group("path") if at else "", value, got.strip("`"))
    missing = _MISSING.match(expected)
    if missing:
        path = pointer("", *steps, missing.group("field"))
        return Refusal("missing_field", f"expected {missing.group('field')} at {path}, got nothing", path=path)
    path = pointer("", *steps)
    choices = _choices(_type_info(type_), steps)
    if choices and not got:
        expected = either(repr(choice) for choice in choices)
    else:
        expected = expected.removeprefix("Expected ").replace("Invalid ", "a valid ")
        expected = _TYPES.sub(lambda types: either(_WORDS.get(name, name) for name in types[1].split(" | ")), expected)
    reason = "wrong_type" if got else "wrong_value"
    return Refusal(reason, f"expected {expected} at {path or 'the top'}, got {_shown(value, steps)}", path=path)


def _steps(path: str, value: Any, got: str) -> list[str]:
    """The way to what is wrong. Where msgspec names no key of a mapping, it is the first value of the wrong kind."""
    steps: list[str] = []
    for name, index in _STEP.findall(path):
        step = name or index or next((key for key, each in value.items() if _KINDS[type(each)] == got), None)
        if step is None:
            break
        steps.append(step)
        value = _inside(value, step)
    return steps


def _inside(value: Any, step: str) -> Any:
    return value[int(step)] if isinstance(value, list) else value[step]


@cache
def _type_info(type_: type) -> inspect.Type:
    """Remembered: bodies are many, the types that they are checked against few, and looking into one takes long."""
    return inspect.type_info(type_)


def _choices(info: inspect.Type, steps: list[str]) -> list[Any]:
    """The values that the field at the end of ``steps`` may have, if they are a fixed set."""
    if isinstance(info, inspect.Metadata):
        return _choices(info.type, steps)
    if isinstance(info, inspect.UnionType):
        return [choice for each in info.types for choice in _choices(each, steps)]
    if not steps:
        return list(info.values) if isinstance(info, inspect.LiteralType) else []
    if isinstance(info, inspect.ListType):
        return _choices(info.item_type, steps[1:])
    if isinstance(info, inspect.StructType):
        found = (each.type for each in info.fields if each.encode_name == steps[0])
        return [choice for type_ in found for choice in _choices(type_, steps[1:])]
    return []


def either(words: Iterable[str]) -> str:
    """``a``, ``a or b``, ``a, b or c``."""
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


def _shown(value: Any, steps: list[str]) -> str:
    """The value at a path, short enough for a message."""
    for step in steps:
        value = _inside(value, step)
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."


def line_id(value: int | str, path: str) -> int:
    """A line id as integer or numeric string (O-2). Raises ``Refusal`` (wrong_type)."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value, re.ASCII):
        return int(value)
    shown = repr(value) if len(repr(value)) <= 80 else f"{repr(value)[:77]}..."
    raise Refusal("wrong_type", f"expected an integer or the same as a string, got {shown}", path=path)


def utc(time: datetime | None, path: str) -> datetime | None:
    """The same moment in UTC, as answers tell it. Raises ``Refusal`` (wrong_value)."""
    try:
        return None if time is None else time.astimezone(UTC)
    except OverflowError:
        raise Refusal("wrong_value", f"expected a year from 1 to 9999 in UTC, got {time}", path=path) from None


def http_url(url: str, path: str) -> str:
    """Check an absolute http(s) URL. Raises ``Refusal`` (bad_url)."""
    if len(url) > 2000 or not _is_http(url):
        raise Refusal("bad_url", f"expected an http or https URL, got {url[:200]!r}", path=path)
    return url


@lru_cache(maxsize=1000)
def _is_http(url: str) -> bool:
    """Remembered, because a merchant sends the same addresses again and again."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False
    return usable and not re.search(r"[\x00-\x20\x7f\\]", url)


def json_response(data: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    body = b"" if status == 204 else msgspec.json.encode(data)
    return Response(body, status, headers, media_type=None if status == 204 else JSON)


def error_response(refusal: Refusal) -> Response:
    """The one place that makes the body of an error."""
    errors = [ErrorItem(each.path, each.keyword, each.message) for each in refusal.problems]
    body = ErrorBody(ErrorDetails(refusal.code, refusal.message, errors))
    return json_response(body, refusal.status, refusal.headers)
