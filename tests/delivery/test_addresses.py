"""Which addresses are of the open internet."""

from __future__ import annotations

import pytest

from kasse.delivery.addresses import is_public


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "34.241.230.119", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]
)
def test_addresses_of_the_open_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("127.0.0.1", id="loopback"),
        pytest.param("127.8.9.1", id="loopback network"),
        pytest.param("0.0.0.0", id="unspecified"),  # noqa: S104
        pytest.param("10.1.2.3", id="private 10"),
        pytest.param("172.16.0.1", id="private 172"),
        pytest.param("192.168.1.1", id="private 192"),
        pytest.param("169.254.169.254", id="link-local, cloud metadata"),
        pytest.param("100.64.0.1", id="carrier NAT"),
        pytest.param("192.0.2.1", id="documentation"),
        pytest.param("198.18.0.1", id="benchmarks"),
        pytest.param("224.0.0.1", id="multicast"),
        pytest.param("255.255.255.255", id="broadcast"),
        pytest.param("240.0.0.1", id="reserved"),
        pytest.param("::1", id="IPv6 loopback"),
        pytest.param("::", id="IPv6 unspecified"),
        pytest.param("fe80::1", id="IPv6 link-local"),
        pytest.param("fe80::1%lo", id="IPv6 link-local with a zone"),
        pytest.param("fc00::1", id="IPv6 unique local"),
        pytest.param("fec0::1", id="IPv6 site-local"),
        pytest.param("ff02::1", id="IPv6 multicast"),
        pytest.param("ff0e::1", id="IPv6 global multicast"),
        pytest.param("2001:db8::1", id="IPv6 documentation"),
        pytest.param("2001::1", id="Teredo"),
        pytest.param("::ffff:127.0.0.1", id="mapped loopback"),
        pytest.param("::ffff:10.0.0.1", id="mapped private"),
        pytest.param("::127.0.0.1", id="compatible loopback"),
        pytest.param("::ffff:0:127.0.0.1", id="translated loopback"),
        pytest.param("64:ff9b::7f00:1", id="NAT64 loopback"),
        pytest.param("64:ff9b::a00:1", id="NAT64 private"),
        pytest.param("64:ff9b:1::1", id="local NAT64"),
        pytest.param("2002:7f00:1::1", id="6to4 loopback"),
        pytest.param("2002:a00:1::1", id="6to4 private"),
        pytest.param("5f00::1", id="segment routing"),
        pytest.param("2130706433", id="a number"),
        pytest.param("127.1", id="short form"),
        pytest.param("localhost", id="a name"),
        pytest.param("", id="nothing"),
    ],
)
def test_all_others_are_not(address: str) -> None:
    assert not is_public(address)
