"""Which addresses may receive note text: checked on every request where it leaves, not where it was configured."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from lang1_assets.ops.served.errors import AddressError

LOOPBACK = "loopback"
"""In an allow-list: any port of this machine."""
USER = re.compile(r"(?<=://).*@|[^\s'\"\[(/]+:(?!//)\S*@", re.DOTALL)
"""User and password of a URL with or without its scheme; up to the last @, because a password may hold one."""
PORTS = {"http": 80, "https": 443}


def check_allowed(host: str, port: int, allowed: Sequence[str]) -> None:
    """Raises AddressError unless host and port are on the list."""
    host = host.strip("[]").lower().rstrip(".")
    if any(entry_allows(entry, host, port) for entry in allowed):
        return
    raise AddressError(
        f"{written(host, port)} is not an allowed address, and nothing was sent there; allowed: "
        f"{', '.join(allowed) or 'none'}. If notes may go there, add '{written(host, port)}' to allowed_addresses"
    )


def address_of(url: str) -> tuple[str, int]:
    """Host and port that a URL names.

    Raises:
        ValueError: not a URL of http or https, or one with a password in it.
    """
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError("not a URL that can be asked; give http://HOST:PORT/v1 or https://...")
    if "@" in parts.netloc:
        raise ValueError("a password in a URL; name where the key is with api_key_variable or api_key_file")
    return parts.hostname, parts.port or PORTS[parts.scheme]


def without_passwords(text: str) -> str:
    """A text that may hold URLs, without the users and passwords in them; rather too much is hidden than too little."""
    return USER.sub("...@", text)


def entry_allows(entry: str, host: str, port: int) -> bool:
    if entry == LOOPBACK:
        return is_loopback(host)
    return parse_entry(entry) == (host, port)


def parse_entry(entry: str) -> tuple[str, int]:
    """`host:port` or `[ipv6]:port`.

    Raises:
        ValueError: no port, or not a number.
    """
    host, colon, port = entry.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not bare or not port.isascii() or not port.isdigit() or (":" in bare and bare == host):
        raise ValueError(f"'{entry}' is not an address; give host:port such as gpu-7:8000, [::1]:8000, or {LOOPBACK}")
    return bare.lower().rstrip("."), int(port)


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def written(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
