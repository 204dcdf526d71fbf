"""Calls to real receivers on this machine, well-behaved and not."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from kasse.delivery import exchange as exchange_module
from kasse.delivery.exchange import LARGEST_ANSWER
from kasse.delivery.outgoing import CallFailed, Outgoing, Reply
from tests.delivery import receivers
from tests.delivery.outbox import eventually
from tests.delivery.receivers import Answer, receiver, says

LIMIT_S = 0.3


async def get(outgoing: Outgoing, url: str, allow_private: bool = True, timeout_s: float = 5) -> Reply:
    return await outgoing.call("GET", url, {}, None, allow_private=allow_private, timeout_s=timeout_s)


async def reason(outgoing: Outgoing, url: str, allow_private: bool = True, timeout_s: float = 5) -> str:
    with pytest.raises(CallFailed) as failure:
        await get(outgoing, url, allow_private, timeout_s)
    return failure.value.reason


# -- what is sent


@pytest.mark.parametrize(
    "target",
    [
        "/cb?B=2&A=1&A=1",
        "/a/../b/%2e%2e/c?x=%zz+%20~*%7E%2a",
        "/%7Eme/;p=1?a=b?c/d&&=&time=2026-01-02T03%3A04%3A05Z",
        "/[x]/'q'/(y)!$,@:?q='(x)'!$,@:[]",
        "//double//slash?x",
    ],
)
async def test_the_url_goes_on_the_wire_as_it_is_written(outgoing: Outgoing, target: str) -> None:
    async with receiver(says(200)) as shop:
        await get(outgoing, shop.base + target)
    assert shop.requests[0].target == target


async def test_a_url_without_a_path_asks_for_the_root(outgoing: Outgoing) -> None:
    async with receiver(says(200)) as shop:
        await get(outgoing, shop.base + "?a=1")
    assert shop.requests[0].target == "/?a=1"


async def test_a_call_says_who_calls_and_nothing_superfluous(outgoing: Outgoing) -> None:
    async with receiver(says(200)) as shop:
        await get(outgoing, shop.base)
        await outgoing.call("POST", shop.base, {"X-One": "1"}, b"{}", allow_private=True, timeout_s=5)
    asked, posted = shop.requests
    host = shop.base.removeprefix("http://")
    common = {"host": host, "user-agent": "Kasse", "accept": "*/*", "connection": "close"}
    assert asked.headers == common
    assert posted.headers == {**common, "x-one": "1", "content-length": "2"}
    assert posted.body == b"{}"


async def test_a_post_without_a_body_says_so(outgoing: Outgoing) -> None:
    async with receiver(says(200)) as shop:
        await outgoing.call("POST", shop.base, {}, None, allow_private=True, timeout_s=5)
    assert shop.requests[0].headers["content-length"] == "0"


async def test_no_proxy_of_the_environment_is_used(outgoing: Outgoing, monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiver(says(200)) as shop, receiver(says(500)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.base)
        monkeypatch.setenv("HTTP_PROXY", proxy.base)
        assert (await get(outgoing, shop.base)).status_code == 200
    assert not proxy.requests


async def test_no_cookies_are_kept(outgoing: Outgoing) -> None:
    async with receiver(says(200, header="Set-Cookie: a=b\r\n")) as shop:
        await get(outgoing, shop.base)
        await get(outgoing, shop.base)
    assert "cookie" not in shop.requests[1].headers


async def test_redirects_are_not_followed(outgoing: Outgoing) -> None:
    async with receiver(says(200)) as other, receiver(says(302, header=f"Location: {other.base}\r\n")) as shop:
        assert (await get(outgoing, shop.base)).status_code == 302
    assert not other.requests


# -- bad receivers


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (receivers.hangs, "no answer within 0.3 seconds"),
        (receivers.drips_head, "no answer within 0.3 seconds"),
        (receivers.endless_continues, "no answer within 0.3 seconds"),
        (receivers.endless_head, "the answer is not HTTP"),
        (receivers.talks_garbage, "the answer is not HTTP"),
        (receivers.closes_after_request, "the connection was closed before an answer came"),
    ],
)
async def test_a_receiver_without_an_answer_fails_within_the_limit(
    outgoing: Outgoing, answer: Answer, said: str
) -> None:
    started = time.monotonic()
    async with receiver(answer) as shop:
        assert await reason(outgoing, shop.base, timeout_s=LIMIT_S) == said
        assert time.monotonic() - started < LIMIT_S + 0.5
        await eventually(lambda: shop.open == 0)


async def test_a_receiver_that_closes_at_once_is_told_so(outgoing: Outgoing) -> None:
    async with receiver(receivers.closes_at_once) as shop:
        said = await reason(outgoing, shop.base)
    assert said.startswith(("the connection was closed", "the connection broke"))


@pytest.mark.parametrize("answer", [receivers.drips_body, receivers.endless_body, receivers.breaks_off_body])
async def test_the_head_of_an_answer_counts_whatever_its_body_does(outgoing: Outgoing, answer: Answer) -> None:
    started = time.monotonic()
    async with receiver(answer) as shop:
        assert (await get(outgoing, shop.base, timeout_s=LIMIT_S)).status_code == 200
        assert time.monotonic() - started < LIMIT_S + 0.5
        await eventually(lambda: shop.open == 0)


async def test_an_endless_body_is_cut_off_long_before_the_limit(outgoing: Outgoing) -> None:
    async with receiver(receivers.endless_body) as shop:
        reply = await get(outgoing, shop.base, timeout_s=60)
        assert reply.duration_ms < 5000
        await eventually(lambda: shop.open == 0)
    assert LARGEST_ANSWER <= shop.sent < 64 * 1024 * 1024


async def test_a_switch_of_protocols_is_only_a_status(outgoing: Outgoing) -> None:
    async with receiver(receivers.switches_protocols) as shop:
        assert (await get(outgoing, shop.base, timeout_s=LIMIT_S)).status_code == 101
        await eventually(lambda: shop.open == 0)


async def test_a_receiver_that_never_reads_does_not_keep_our_socket(outgoing: Outgoing) -> None:
    async with receiver(says(200)) as shop:
        await get(outgoing, shop.base)
    before = len(os.listdir("/proc/self/fd"))
    async with receiver(receivers.never_reads) as shop:
        call = outgoing.call("POST", shop.base, {}, b"x" * 30_000_000, allow_private=True, timeout_s=LIMIT_S)
        with pytest.raises(CallFailed):
            await call
        # What stays open is the receiver's: its listening socket and its end of the connection.
        await eventually(lambda: len(os.listdir("/proc/self/fd")) <= before + 2)


async def test_a_cancelled_call_closes_its_connection(outgoing: Outgoing) -> None:
    async with receiver(receivers.hangs) as shop:
        call = asyncio.create_task(get(outgoing, shop.base))
        await shop.came.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await eventually(lambda: shop.open == 0)


async def test_a_port_where_nobody_listens_is_named(outgoing: Outgoing) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    said = await reason(outgoing, f"http://127.0.0.1:{port}/secret-path?secret=1")
    assert said.startswith(f"no connection to 127.0.0.1 port {port}: ")
    assert "secret" not in said


# -- TLS


async def test_a_trusted_certificate_is_good(certificate: Path, server_tls: ssl.SSLContext) -> None:
    outgoing = Outgoing(ssl.create_default_context(cafile=str(certificate)))
    async with receiver(says(200), tls=server_tls) as shop:
        assert (await get(outgoing, shop.base + "/cb?x=1")).status_code == 200
        await eventually(lambda: shop.open == 0)
    assert shop.requests[0].target == "/cb?x=1"


async def test_an_unknown_certificate_is_not(outgoing: Outgoing, server_tls: ssl.SSLContext) -> None:
    async with receiver(says(200), tls=server_tls) as shop:
        said = await reason(outgoing, shop.base + "/cb?secret=1")
    assert said.startswith("the certificate of localhost is not to be trusted")
    assert "secret" not in said
    assert not shop.requests


async def test_a_certificate_for_another_name_is_not(certificate: Path, server_tls: ssl.SSLContext) -> None:
    outgoing = Outgoing(ssl.create_default_context(cafile=str(certificate)))
    async with receiver(says(200), tls=server_tls) as shop:
        said = await reason(outgoing, shop.base.replace("localhost", "127.0.0.1"))
    assert said.startswith("the certificate of 127.0.0.1 is not to be trusted")
    assert not shop.requests


async def test_tls_garbage_fails(outgoing: Outgoing) -> None:
    async with receiver(receivers.talks_garbage) as shop:
        said = await reason(outgoing, shop.base.replace("http:", "https:"))
        await eventually(lambda: shop.open == 0)
    assert said.startswith("no connection to 127.0.0.1 port")


async def test_a_tls_handshake_that_hangs_ends_with_the_limit(outgoing: Outgoing) -> None:
    async with receiver(receivers.never_reads) as shop:
        said = await reason(outgoing, shop.base.replace("http:", "https:"), timeout_s=LIMIT_S)
    assert said == "no answer within 0.3 seconds"


# -- where calls may go


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.2",
        "0.0.0.0",  # noqa: S104
        "10.1.2.3",
        "169.254.169.254",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "localhost",
        "LOCALHOST",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.0.0.1.",
        "user@127.0.0.1",
    ],
)
async def test_private_targets_are_refused_before_anything_connects(outgoing: Outgoing, host: str) -> None:
    async with receiver(says(200)) as shop:
        said = await reason(outgoing, f"https://{host}:{shop.port}/", allow_private=False)
    assert "is not a public address" in said or said == "the URL cannot be called"
    assert shop.most == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "localhost"])
async def test_a_refusal_names_the_address(outgoing: Outgoing, host: str) -> None:
    said = await reason(outgoing, f"https://{host}:9/", allow_private=False)
    assert said.endswith("are not allowed: it is not a public address")


async def test_private_targets_are_called_when_allowed(outgoing: Outgoing) -> None:
    async with receiver(says(200)) as shop:
        for host in ("127.0.0.1", "[::ffff:127.0.0.1]", "localhost"):
            assert (await get(outgoing, f"http://{host}:{shop.port}/")).status_code == 200
    async with receiver(says(200), host="::1") as shop:
        assert (await get(outgoing, shop.base)).status_code == 200


async def test_what_was_looked_up_once_is_what_is_called(outgoing: Outgoing, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that changes its address between a check and the call is of no use: there is one look-up."""
    asked = []

    def look_up(host: str, port: int, *rest: Any) -> list[Any]:
        asked.append(host)
        address = "93.184.215.14" if len(asked) % 2 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    async with receiver(says(200)) as shop:
        await reason(outgoing, f"https://turns.example:{shop.port}/", allow_private=False, timeout_s=0.1)
        assert asked == ["turns.example"]
        said = await reason(outgoing, f"https://turns.example:{shop.port}/", allow_private=False)
        assert said == "calls to 127.0.0.1 are not allowed: it is not a public address"
    assert asked == ["turns.example"] * 2
    assert shop.most == 0


async def test_of_several_addresses_only_public_ones_are_called(
    outgoing: Outgoing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look_up(host: str, port: int, *rest: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{last}", port)) for last in (1, 2)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(exchange_module, "is_public", lambda address: address == "127.0.0.2")
    # It does not speak TLS: that it was reached is what counts.
    async with receiver(receivers.closes_after_request, host="127.0.0.2") as shop:
        said = await reason(outgoing, f"https://two.example:{shop.port}/", allow_private=False, timeout_s=1)
        assert "not a public address" not in said
        assert shop.most == 1


@pytest.mark.parametrize("url", ["http://93.184.215.14/cb", "HTTP://shop.example/cb", "ftp://shop.example/", "//a"])
async def test_without_private_targets_calls_go_to_https_only(
    outgoing: Outgoing, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setattr(socket, "socket", None)
    said = await reason(outgoing, url, allow_private=False)
    assert said == "calls of production accounts go to https only"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "http:///x",
        "//127.0.0.1/",
        "127.0.0.1",
        "",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:x/",
        "http://127.0.0.1:0/",
        "http://127.0.0.1/a b",
        "http://127.0.0.1/\r\nX-Injected: 1",
        "http://127.0.0.1/\tx",
        "http://blåbær.no/",
        "http://[::1/",
        "http://x]@/",
        "http://a\\@127.0.0.1/",
    ],
)
async def test_a_url_that_is_none_fails_and_is_not_repeated_in_the_reason(outgoing: Outgoing, url: str) -> None:
    assert await reason(outgoing, url) == "the URL cannot be called"


# -- names


async def test_a_name_that_is_not_there_is_named(outgoing: Outgoing, monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert await reason(outgoing, "http://nobody.example/?secret=1") == "the name nobody.example was not found"


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example", "x." * 200])
async def test_an_impossible_name_fails(outgoing: Outgoing, host: str) -> None:
    assert (await reason(outgoing, f"http://{host}/")).startswith("the name")


async def test_names_whose_servers_do_not_answer_hold_up_no_other(
    outgoing: Outgoing, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer = [], threading.Event()
    truly = socket.getaddrinfo

    def look_up(host: str, *rest: Any) -> Any:
        asked.append(host)
        if host.endswith(".example"):
            answer.wait(10)
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return truly(host, *rest)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    dead = [f"http://n{number % 50}.example/" for number in range(200)]
    calls = [asyncio.create_task(reason(outgoing, url, timeout_s=1.5)) for url in dead]
    async with receiver(says(200)) as shop:
        reply = await get(outgoing, f"http://localhost:{shop.port}/")
    assert reply.duration_ms < 1000
    assert set(await asyncio.gather(*calls)) == {"no answer within 1.5 seconds"}
    assert len(asked) == 51  # one look-up for each name, however many wait for it
    answer.set()
    exchange = outgoing._exchange
    assert exchange is not None
    await eventually(lambda: not exchange._resolver._running)
