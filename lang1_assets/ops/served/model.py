"""A model behind somebody's HTTP server: where it is, how it is asked, who may receive note text (paper 5.5, appendix J)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lang1_assets.ops.served.addresses import LOOPBACK

Api = Literal["completions", "chat"]


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """A model with an OpenAI-compatible API; `settings.CompletionsModel` and `settings.ChatModel` say what a field means.

    The API key is never held here, only where to find it.
    """

    api: Api
    """`completions`: /completions with log-probabilities. `chat`: /chat/completions, whose answers are sampled."""
    url: str
    name: str
    version: str = ""
    tokenizer: Path | None = None
    allowed_addresses: tuple[str, ...] = (LOOPBACK,)
    proxy: str | None = None
    certificate_authority: Path | None = None
    api_key_variable: str | None = None
    api_key_file: Path | None = None
    api_key_header: str = "Authorization"
    connect_timeout_seconds: float = 10.0
    answer_timeout_seconds: float = 120.0
    max_concurrent: int = 8
    requests_per_minute: float | None = None
    max_retries: int = 8
    longest_wait_seconds: float = 300.0
    top_logprobs: int = 20
    max_answer_tokens: int = 16
    instruction: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How answers stand in for probabilities."""

    num_samples: int
    temperature: float
    """0 is greedy: one answer, whose probability is 1."""
    max_examples: int
    """Notes that are asked about, for cost; `prompts.read_examples` chooses them by a seeded hash."""

    def __post_init__(self) -> None:
        if self.num_samples < 1 or self.temperature < 0 or self.max_examples < 1:
            raise ValueError(f"num_samples and max_examples must be at least 1, temperature at least 0; found {self}")
        if self.temperature == 0 and self.num_samples != 1:
            raise ValueError(
                f"temperature 0 gives the same answer each time: num_samples must be 1, not {self.num_samples}"
            )


TEN_SAMPLES = Sampling(num_samples=10, temperature=1.0, max_examples=1_000)
GREEDY = Sampling(num_samples=1, temperature=0.0, max_examples=10_000)
