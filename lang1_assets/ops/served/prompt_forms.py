"""Prompts as token ids, the same ones that the project's own models are given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lang1_assets.ops.tokenizer import (
    encode_from_start,
    fast_tokenizer,
    option_letter_ids,
    special_tokens,
    tokenizer_sha256,
)


class PromptTokenizer:
    """A served model's tokenizer, from its folder."""

    def __init__(self, folder: Path) -> None:
        """Raises TokenizerError when the folder has none that can be read."""
        self._folder = folder
        tokenizer = fast_tokenizer(folder)
        named = special_tokens(folder / "tokenizer_config.json").get("bos", "")
        self.bos_id: int | None = tokenizer.token_to_id(named)
        """None for models that know no beginning-of-text token, such as Qwen's."""
        self.fingerprint = tokenizer_sha256(folder)

    def ids(self, prompt: str) -> tuple[int, ...]:
        """Beginning-of-text first; what looks like a special token in a note stays text."""
        return self.batch_ids([prompt])[0]

    def batch_ids(self, prompts: Sequence[str]) -> list[tuple[int, ...]]:
        return [tuple(ids.tolist()) for ids in encode_from_start(self._folder, prompts, self.bos_id)]

    def letter_ids(self, letters: Sequence[str]) -> list[int]:
        """Raises TokenizerError when a letter is not one token."""
        return option_letter_ids(fast_tokenizer(self._folder), letters)
