"""Questions to a served model over HTTP: retried with backoff, paced, measured, and sent to allowed addresses alone."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import tenacity

from lang1_assets.ops.served.errors import RedrawError, RefusedError, ServedError, TransientError
from lang1_assets.ops.served.model import ServedModel
from lang1_assets.ops.served.pace import Pace
from lang1_assets.ops.served.transport import GuardedTransport

Answer = dict[str, Any]

MAX_ANSWER_BYTES = 64 * 1024 * 1024
RETRIED = (408, 425, 429)
FIRST_WAIT_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 60.0
MAX_DRAWS = 16
"""Tokens drawn for one question before a server counts as one that gives no log-probabilities: an untrained model with pieces of
characters in its vocabulary draws one that llama.cpp says nothing about every fourth time."""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What asking cost."""

    num_requests: int = 0
    """Attempts that reached the network, the failed ones included."""
    num_retries: int = 0
    prompt_tokens: int = 0
    """Of answers that were of use, as the server counts them; those of earlier runs that the ledger holds included."""
    completion_tokens: int = 0
    num_from_ledger: int = 0
    """Answers that an earlier run had paid for."""
    seconds: float = 0.0


class Meter:
    """Counts what threads do."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = {name: value for name, value in asdict(Usage()).items() if name != "seconds"}
        self._start = time.monotonic()

    def add(self, **amounts: int) -> None:
        with self._lock:
            for name, amount in amounts.items():
                self._counts[name] += amount

    def usage(self) -> Usage:
        with self._lock:
            return Usage(**self._counts, seconds=time.monotonic() - self._start)


class ServedClient:
    """One server; any number of threads may ask it."""

    def __init__(self, model: ServedModel) -> None:
        """Raises ServedError when the API key or the proxy is not as the model says."""
        self.model = model
        self.meter = Meter()
        self.pace = Pace(model.requests_per_minute)
        authority = str(model.certificate_authority) if model.certificate_authority else None
        self._client = httpx2.Client(
            transport=GuardedTransport(model.allowed_addresses, model.proxy, authority),
            headers=key_header(model),
            timeout=httpx2.Timeout(model.answer_timeout_seconds, connect=model.connect_timeout_seconds),
            follow_redirects=False,
            trust_env=False,
        )

    @property
    def where(self) -> str:
        """The server, for messages."""
        return shown(httpx2.URL(self.model.url))

    def __enter__(self) -> ServedClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def post(
        self, endpoint: str, body: dict[str, Any], read: Callable[[Answer], Answer] = lambda answer: answer
    ) -> Answer:
        """What `read` makes of the server's answer to one question; its TransientError and its RedrawError ask once more.

        Raises:
            RefusedError: it takes no such prompt.
            ServedError: it takes nothing, still fails after `max_retries` more attempts, or draws MAX_DRAWS tokens of no use,
                which are no failures of the server and count by themselves.
        """
        url = endpoint_url(self.model.url, endpoint)
        num_failed = num_useless = 0

        def attempt() -> Answer:
            nonlocal num_failed, num_useless
            try:
                return read(self._ask_once(url, body))
            except TransientError:
                num_failed += 1
                raise
            except RedrawError:
                num_useless += 1
                raise

        def wait_seconds(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            if not isinstance(error, TransientError):
                return 0.0
            backoff = random.uniform(0, min(FIRST_WAIT_SECONDS * 2 ** (num_failed - 1), LONGEST_BACKOFF_SECONDS))
            return min(max(error.retry_after_seconds or 0.0, backoff), self.model.longest_wait_seconds)

        attempts = tenacity.Retrying(
            stop=lambda _: num_failed > self.model.max_retries or num_useless >= MAX_DRAWS,
            wait=wait_seconds,
            retry=tenacity.retry_if_exception_type((TransientError, RedrawError)),
            sleep=self.pace.sleep,
            before_sleep=lambda _: self.meter.add(num_retries=1),
            reraise=True,
        )
        try:
            return attempts(attempt)
        # Without the chain of causes: a library's exception may hold what was sent.
        except RedrawError as error:
            raise ServedError(f"{shown(url)}: {error}, {num_useless} times; what was paid for is kept") from None
        except TransientError as error:
            raise ServedError(
                f"{shown(url)}: {error}, {num_failed} times; what was paid for is kept, run it again when the server answers"
            ) from None

    def _ask_once(self, url: httpx2.URL, body: dict[str, Any]) -> Answer:
        self.pace.wait()
        self.meter.add(num_requests=1)
        try:
            status, headers, content = self._exchange(url, body)
        except httpx2.RequestError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise ServedError(f"{shown(url)}: its certificate is not trusted; set certificate_authority") from None
            raise TransientError(f"no answer ({type(error).__name__})") from None
        if status != 200:
            self._raise_for(url, status, headers, content)
        return answer_with_choices(content)

    def _exchange(self, url: httpx2.URL, body: dict[str, Any]) -> tuple[int, httpx2.Headers, bytes]:
        """Status, headers and the whole content, within the time for all of it: a server may also drip."""
        deadline = time.monotonic() + self.model.answer_timeout_seconds
        content = bytearray()
        with self._client.stream("POST", url, json=body) as response:
            for part in response.iter_bytes():
                content += part
                if time.monotonic() > deadline:
                    raise httpx2.ReadTimeout("the answer takes too long", request=response.request)
                if len(content) > MAX_ANSWER_BYTES:
                    raise ServedError(f"{shown(url)}: an answer of more than {MAX_ANSWER_BYTES} bytes")
            return response.status_code, response.headers, bytes(content)

    def _raise_for(self, url: httpx2.URL, status: int, headers: httpx2.Headers, content: bytes) -> None:
        where = shown(url)
        if 300 <= status < 400:
            raise ServedError(
                f"{where}: redirects elsewhere (status {status}), which is not followed; give the final URL"
            )
        if status in (401, 403):
            raise ServedError(f"{where}: refuses the API key (status {status}); set api_key_variable or api_key_file")
        if status == 404:
            raise ServedError(f"{where}: not there (status 404); check url and the model's name '{self.model.name}'")
        if status == 429 and b"insufficient_quota" in content:
            raise ServedError(f"{where}: the quota is used up; what was paid for is kept")
        if status in RETRIED or status >= 500:
            seconds = retry_after_seconds(headers.get("retry-after"))
            if status == 429 and seconds is not None:
                self.pace.hold(min(seconds, self.model.longest_wait_seconds))
            raise TransientError(f"status {status}", seconds)
        raise refusal(status, content)


def answer_with_choices(content: bytes) -> Answer:
    """Raises TransientError when there are none in it."""
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        raise TransientError("half an answer") from None
    choices = answer.get("choices") if isinstance(answer, dict) else None
    if not isinstance(choices, list) or not choices or not all(isinstance(choice, dict) for choice in choices):
        raise TransientError("an answer without choices")
    found: Answer = answer
    return found


def refusal(status: int, content: bytes) -> RefusedError:
    """Why a prompt was refused, from the few words that servers agree on."""
    said = content.lower()
    if status == 413 or (b"context" in said and (b"exceed" in said or b"length" in said or b"maximum" in said)):
        return RefusedError("prompt_too_long", status)
    if b"content_filter" in said or b"content_policy" in said:
        return RefusedError("content_filtered", status)
    return RefusedError("refused_by_server", status)


def retry_after_seconds(value: str | None) -> float | None:
    """Of a Retry-After header: seconds or a date (RFC 9110, 10.2.3); None when there is none or it cannot be read."""
    if value is None:
        return None
    try:
        return max(float(value), 0.0) if value.strip().isascii() else None
    except ValueError:
        pass
    try:
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError):
        return None


def endpoint_url(base: str, endpoint: str) -> httpx2.URL:
    """The base with the endpoint after its path; a query (`?api-version=...`) stays at the end."""
    url = httpx2.URL(base)
    return url.copy_with(path=f"{url.path.rstrip('/')}/{endpoint}")


def shown(url: httpx2.URL) -> str:
    """Without query and user, which may hold secrets."""
    return f"{url.scheme}://{url.netloc.decode()}{url.path}"


def key_header(model: ServedModel) -> dict[str, str]:
    """The header with the API key; none when the model names none.

    Raises:
        ServedError: the variable or file that should hold it does not.
    """
    if model.api_key_variable is not None:
        key, where = os.environ.get(model.api_key_variable, ""), f"environment variable {model.api_key_variable}"
    elif model.api_key_file is not None:
        try:
            key, where = model.api_key_file.read_text(), f"file {model.api_key_file}"
        except (OSError, UnicodeDecodeError):
            raise ServedError(
                f"{model.api_key_file}: cannot be read; api_key_file is a file that holds the key"
            ) from None
    else:
        return {}
    key = key.strip()
    if not key or not key.isascii() or not key.isprintable():
        raise ServedError(f"{where}: holds no API key; put one line of plain characters there")
    return {model.api_key_header: f"Bearer {key}" if model.api_key_header.lower() == "authorization" else key}
