"""Log-probabilities in a server's answer: the two forms that servers write, read into one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lang1_assets.ops.served.errors import RedrawError

TOKEN_ID_PREFIX = "token_id:"
"""How vLLM names tokens when `return_tokens_as_token_ids` is asked for."""
SPACES = " \u2581\u0120"
"""A space as text, as SentencePiece and as byte-level BPE write it."""
LARGEST = 200.0
"""A log-probability that shows a bias exceeds 0 by at most that (100), where the server does not normalize again."""
NOTHING = -1_000.0
"""Log-probabilities below are a server's way to write minus infinity (vLLM: -9999)."""


@dataclass(frozen=True, kw_only=True)
class TokenLogprob:
    text: str
    token_id: int | None
    """None where the server names tokens by their text alone."""
    logprob: float


def token_at(response: dict[str, Any], position: int) -> tuple[TokenLogprob, list[TokenLogprob]]:
    """A token of the answer, and the most likely ones in its place.

    Args:
        position: 0 is the first token of the answer, or with `echo` of the prompt; -2 the last but one.

    Raises:
        RedrawError: the answer has no log-probabilities there.
    """
    try:
        held = response["choices"][0].get("logprobs") or {}
        return from_list(held["content"][position]) if "content" in held else from_columns(held, position)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError):
        # llama.cpp gives none for a token that ends the text, or that is a part of a character.
        raise RedrawError(
            "an answer without log-probabilities (a server that never gives them is kind: chat)"
        ) from None


def from_list(item: dict[str, Any]) -> tuple[TokenLogprob, list[TokenLogprob]]:
    """llama.cpp's form, the same as in chats: one object a token, with its id."""
    return from_object(item), [from_object(entry) for entry in item.get("top_logprobs", item.get("top_probs")) or []]


def from_object(entry: dict[str, Any]) -> TokenLogprob:
    """Or with probabilities, when llama.cpp is asked for those after its samplers (`post_sampling_probs`)."""
    logprob = checked(entry["logprob"]) if "logprob" in entry else log_of(checked(entry["prob"]))
    number = entry.get("id")
    token_id = number if type(number) is int else None
    return TokenLogprob(text=str(entry["token"]), token_id=token_id, logprob=logprob)


def log_of(probability: float) -> float:
    return math.log(probability) if probability > 0 else -math.inf


def checked(value: Any) -> float:
    """Raises ValueError for what is no log-probability: it would make a note's probabilities NaN."""
    if type(value) not in (int, float) or not value <= LARGEST:
        # Without the value, which may be text.
        raise ValueError("not a log-probability")
    return float(value)


def from_columns(held: dict[str, Any], position: int) -> tuple[TokenLogprob, list[TokenLogprob]]:
    """The form of OpenAI's completions and vLLM: a list a field, the most likely ones as text -> log-probability."""
    tops = held.get("top_logprobs") or []
    top = tops[position] if tops else None
    own = named(held["tokens"][position], held["token_logprobs"][position])
    return own, [named(name, value) for name, value in (top or {}).items()]


def named(name: str, logprob: float) -> TokenLogprob:
    number = name.removeprefix(TOKEN_ID_PREFIX)
    token_id = int(number) if number != name and number.isdigit() else None
    return TokenLogprob(text=name, token_id=token_id, logprob=checked(logprob))


def letter_logprobs(
    entries: Iterable[TokenLogprob], letters: Sequence[str], letter_ids: Sequence[int] | None
) -> list[float | None]:
    """One log-probability a letter, None for a letter that no entry is.

    With ids, the one token that follows `Answer:`, as the project scores its own models. Without, the letter with and
    without a space before it are both the answer, and their probabilities are added.
    """
    # The drawn token may be listed a second time.
    unique = {(entry.text, entry.token_id): entry.logprob for entry in entries}
    found = []
    for number, letter in enumerate(letters):
        if letter_ids is not None:
            values = [value for (_, token_id), value in unique.items() if token_id == letter_ids[number]]
        else:
            values = [value for (text, _), value in unique.items() if text.lstrip(SPACES) == letter]
        found.append(log_sum(values) if values else None)
    return found


def log_sum(values: Sequence[float]) -> float | None:
    """log(sum(exp(values))); None when there is no probability in them."""
    top = max(values)
    if not top > NOTHING:
        return None
    return top + math.log(sum(math.exp(value - top) for value in values))
