import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.served.addresses import LOOPBACK, address_of, check_allowed, parse_entry, without_passwords
from lang1_assets.ops.served.errors import AddressError


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "127.0.0.1", "127.8.9.1", "::1", "[::1]"])
def test_this_machine_is_loopback(host: str) -> None:
    check_allowed(host, 1234, [LOOPBACK])


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1.evil.com",
        "localhost.evil.com",
        "evil.com",
        "10.0.0.1",
        "0.0.0.0",
        "::ffff:10.0.0.1",
        "2130706433",
        "",
    ],
)
def test_nothing_else_is(host: str) -> None:
    with pytest.raises(AddressError, match="is not an allowed address, and nothing was sent there"):
        check_allowed(host, 80, [LOOPBACK])


def test_host_and_port_must_both_be_on_the_list() -> None:
    allowed = ["gpu-7:8000", "[fd00::1]:8000"]
    check_allowed("GPU-7", 8000, allowed)
    check_allowed("fd00::1", 8000, allowed)
    for host, port in (("gpu-7", 8001), ("gpu-70", 8000), ("gpu-7.evil.com", 8000), ("127.0.0.1", 8000)):
        with pytest.raises(AddressError, match=f"add '{host}:{port}' to allowed_addresses"):
            check_allowed(host, port, allowed)


@given(host=st.from_regex(r"[a-z0-9.-]{1,20}[a-z0-9]", fullmatch=True), port=st.integers(0, 99_999))
def test_an_entry_is_read_back(host: str, port: int) -> None:
    assert parse_entry(f"{host}:{port}") == (host, port)
    check_allowed(host, port, [f"{host}:{port}"])


@pytest.mark.parametrize("entry", ["gpu-7", "gpu-7:", ":80", "gpu:x", "::1", "fd00::1:80", "*", "gpu:\u0663"])
def test_an_entry_says_host_and_port(entry: str) -> None:
    with pytest.raises(ValueError, match="give host:port"):
        parse_entry(entry)


def test_the_address_that_a_url_names() -> None:
    assert address_of("https://api.hospital/v1?x=1") == ("api.hospital", 443)
    assert address_of("http://[::1]:8000/v1") == ("::1", 8000)
    for url in ("ftp://x", "gpu-7:8000/v1", "http://", "http://user:key@gpu-7/v1"):
        with pytest.raises(ValueError, match="URL"):
            address_of(url)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://joe:pw@gpu-7:8000/v1", "https://...@gpu-7:8000/v1"),
        ("found 'http://joe@gpu-7'", "found 'http://...@gpu-7'"),
        ("url: 'joe:p/w@gpu-7'", "url: '...@gpu-7'"),
        ("http://joe:p w@q@gpu-7", "http://...@gpu-7"),
        ("models.m.url: http://gpu-7:8000/v1 is not", "models.m.url: http://gpu-7:8000/v1 is not"),
    ],
)
def test_passwords_are_hidden(text: str, shown: str) -> None:
    assert without_passwords(text) == shown
