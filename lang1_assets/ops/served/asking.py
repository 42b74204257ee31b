"""Many questions to one server: in parallel up to a bound, each paid for once, none lost."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import Any, TypeVar

from lang1_assets.ops.served.client import ServedClient
from lang1_assets.ops.served.errors import StoppedError
from lang1_assets.ops.served.ledger import Ledger

Item = TypeVar("Item", bound=Hashable)
Result = TypeVar("Result")

READING = 1
"""Raised when what is read from an answer changes: older ledgers then hold no answer to a question."""


class PaidAnswers:
    """Answers from the ledger where it has them, otherwise from the server, and then into the ledger."""

    def __init__(self, client: ServedClient, ledger: Ledger, under: Mapping[str, Any]) -> None:
        """
        Args:
            under: what an answer's meaning depends on beside its question, such as whether the server shows a bias. Answers
                count only under what they were paid for under.
        """
        self.client = client
        self.ledger = ledger
        self._under = dict(under)

    def ask(
        self,
        endpoint: str,
        body: dict[str, Any],
        read: Callable[[dict[str, Any]], dict[str, Any]],
        letters: Sequence[str],
        number: int = 0,
    ) -> dict[str, Any]:
        """What `read` makes of the answer to one request.

        Args:
            read: from the server's answer to what may be kept: numbers and option letters, no text.
            number: tells questions with the same body apart, as samples are.
        """
        model = self.client.model
        body = with_extra(body, model.extra)
        key = request_key([READING, endpoint, model.version, self._under, list(letters), number, body])
        kept = self.ledger.get(key)
        if kept is not None:
            self.client.meter.add(num_from_ledger=1, **kept["tokens"])
            return kept
        answer = self.client.post(endpoint, body, lambda answer: {**read(answer), "tokens": token_counts(answer)})
        self.ledger.add(key, answer)
        self.client.meter.add(**answer["tokens"])
        return answer


def ask_now(
    client: ServedClient, endpoint: str, body: dict[str, Any], read: Callable[[dict[str, Any]], dict[str, Any]]
) -> dict[str, Any]:
    """What `read` makes of the answer to a question of our own, past the ledger: what the server does today."""
    answer = client.post(
        endpoint,
        with_extra(body, client.model.extra),
        lambda answer: {"read": read(answer), "tokens": token_counts(answer)},
    )
    client.meter.add(**answer["tokens"])
    read_from: dict[str, Any] = answer["read"]
    return read_from


def with_extra(body: dict[str, Any], extra: Any) -> dict[str, Any]:
    """The profile's `extra` fields over the usual ones; null takes a field out."""
    return {name: value for name, value in {**body, **extra}.items() if value is not None}


def request_key(parts: Sequence[Any]) -> str:
    """sha256 of everything an answer depends on."""
    text = json.dumps(list(parts), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def token_counts(response: dict[str, Any]) -> dict[str, int]:
    """As the server says; 0 for what is no number of tokens, and may be text."""
    usage = response.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    said = {name: usage.get(name) for name in ("prompt_tokens", "completion_tokens")}
    return {name: value if type(value) is int and value > 0 else 0 for name, value in said.items()}


def ask_all(
    ask: Callable[[Item], Result],
    items: Sequence[Item],
    client: ServedClient,
    on_progress: Callable[[str], None] = lambda _: None,
) -> list[Result]:
    """One result an item, in their order; `max_concurrent` threads ask, and an item that comes twice is asked once.

    Raises:
        ServedError: an item failed. No question is asked after it; answers on their way are kept.
    """
    results: dict[Item, Result] = {}
    unique = list(dict.fromkeys(items))
    with ThreadPoolExecutor(client.model.max_concurrent, thread_name_prefix="served") as pool:
        futures = {pool.submit(ask, item): item for item in unique}
        try:
            for future in as_completed(futures):
                results[futures[future]] = future.result()
                if len(results) % max(len(unique) // 20, 1) == 0:
                    on_progress(f"{len(results)} of {len(unique)} notes answered")
        except BaseException as error:
            client.pace.stop.set()
            pool.shutdown(cancel_futures=True)
            if isinstance(error, StoppedError):
                raise first_error(futures) or error from None
            raise
    return [results[item] for item in items]


def first_error(futures: Iterable[Future[Any]]) -> BaseException | None:
    """What really went wrong: threads that were stopped for it say nothing of it."""
    errors = [future.exception() for future in futures if future.done() and not future.cancelled()]
    return next((error for error in errors if error is not None and not isinstance(error, StoppedError)), None)
