"""What can go wrong between here and a server. No message holds any of a prompt, or of what the server wrote back:
servers quote the request in their errors.
"""

from __future__ import annotations

from typing import Literal

Reason = Literal[
    "prompt_too_long",
    "content_filtered",
    "refused_by_server",
    "letter_not_in_top_logprobs",
    "letters_without_probability",
]
"""Why a note was not scored."""


class ServedError(RuntimeError):
    """A served model cannot be scored: the message says where, what was expected and what to do."""


class AddressError(ServedError):
    """Note text would have gone to an address that is not allowed."""


class RefusedError(ServedError):
    """The server takes no prompt like this one; others may do."""

    def __init__(self, reason: Reason, status: int) -> None:
        super().__init__(f"the server refused a prompt: {reason} (status {status})")
        self.reason: Reason = reason
        self.status = status


class TransientError(ServedError):
    """Worth another attempt."""

    def __init__(self, problem: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(problem)
        self.retry_after_seconds = retry_after_seconds


class RedrawError(ServedError):
    """The answer lacks what was asked for because of the token that the model drew: asked again, it draws another one."""


class StoppedError(ServedError):
    """Another thread failed, and this one was told to end."""


class LedgerError(ServedError):
    """A ledger that cannot be used."""
