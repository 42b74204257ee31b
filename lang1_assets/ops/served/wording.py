"""How a completions server is asked for one token's log-probabilities, and how its answer is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from lang1_assets.ops.served.logprobs import SPACES, letter_logprobs, token_at

PROBE = "A patient is admitted with chest pain.\nQuestion: Is this a probe?\nOptions:\nA. No\nB. Yes\nAnswer:"
"""A question of our own, for finding out what a server can do."""
BIAS = 100.0
"""The largest that the API allows."""

Body = dict[str, Any]
Prompt = str | tuple[int, ...]
"""As text or as token ids, whichever the server takes."""


@dataclass(frozen=True, kw_only=True)
class Wording:
    """The fields that not every server takes."""

    top_logprobs: int
    """Most likely tokens that one answer lists."""
    asks_for_ids: bool
    """Whether `return_tokens_as_token_ids` is sent: vLLM names tokens by their text alone without it."""
    ignores_end: bool
    """Whether `ignore_eos` is sent: llama.cpp gives no log-probabilities when the token that it drew ends the text."""

    def question(self, prompt: Prompt, bias: dict[int, float] | None = None) -> Body:
        """One token after the prompt, with the most likely ones.

        At temperature 1: a server that divides by the temperature before it takes the logarithm would give other numbers.
        """
        return {
            "prompt": prompt,
            "max_tokens": 1,
            "temperature": 1.0,
            "logprobs": self.top_logprobs,
            "return_tokens_as_token_ids": True if self.asks_for_ids else None,
            "ignore_eos": True if self.ignores_end else None,
            "logit_bias": {str(token): value for token, value in bias.items()} if bias else None,
        }

    def forced(self, prompt: Prompt, letter_id: int) -> Body:
        """The same, with a bias that leaves no other token to draw."""
        return {**self.question(prompt, {letter_id: BIAS}), "logprobs": 1}

    def echo(self, prompt: Prompt, letter: str, letter_id: int | None) -> Body:
        """The prompt with a letter after it, to be read back; one more token, because some servers refuse to write none."""
        continued: Prompt = f"{prompt} {letter}" if isinstance(prompt, str) else (*prompt, cast(int, letter_id))
        return {**self.question(continued), "logprobs": 1, "return_tokens_as_token_ids": None, "echo": True}


def listed_letters(answer: Body, letters: Sequence[str], ids: Sequence[int] | None) -> list[float | None]:
    """Log-probability of each letter, None for one that was not listed."""
    own, top = token_at(answer, 0)
    return letter_logprobs([own, *top], letters, ids)


def best_logprob(answer: Body) -> float:
    """Of the most likely token."""
    own, top = token_at(answer, 0)
    return max(entry.logprob for entry in (own, *top))


def forced_logprob(answer: Body, letter: str, letter_id: int) -> float | None:
    """Log-probability of the token that a bias made the model draw; None when it drew another one."""
    own, _ = token_at(answer, 0)
    is_it = own.token_id == letter_id if own.token_id is not None else own.text.strip(SPACES) == letter
    return own.logprob if is_it else None


def echoed_logprob(answer: Body, letter: str) -> float | None:
    """Log-probability of the letter at the end of the prompt, in front of the token after it; None when it is not there."""
    own, _ = token_at(answer, -2)
    return own.logprob if own.text.strip(SPACES) == letter else None
