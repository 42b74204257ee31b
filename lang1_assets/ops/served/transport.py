"""HTTP that reaches allowed addresses alone."""

from __future__ import annotations

from collections.abc import Sequence

import httpx2

from lang1_assets.ops.served.addresses import PORTS, address_of, check_allowed


class GuardedTransport(httpx2.HTTPTransport):
    """Refuses, before a connection is opened, every request to an address that is not on the list.

    Proxies of the environment are ignored: a proxy reads what passes through it, so it has to be named and allowed itself.
    """

    def __init__(self, allowed: Sequence[str], proxy: str | None, certificate_authority: str | None) -> None:
        if proxy is not None:
            check_allowed(*address_of(proxy), allowed)
        context = httpx2.create_ssl_context(verify=certificate_authority or True, trust_env=False)
        super().__init__(verify=context, trust_env=False, proxy=proxy)
        self._allowed = tuple(allowed)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        # The very parts that a connection is opened with: another reading of the URL might differ.
        url = request.url
        check_allowed(url.raw_host.decode("ascii"), url.port or PORTS[url.scheme], self._allowed)
        return super().handle_request(request)
