"""Token shards, read by position: documents as token ids, packed back to back in flat files with a manifest
(docs/token-shards.md, M07)."""

from __future__ import annotations

import json
import resource
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lang1_assets.ops.checksums import READING_THREADS, sha256_of

MANIFEST_FILE = "manifest.json"
MANIFEST_FIELDS = ("dtype", "vocab_size", "tokenizer_sha256", "shards")
FORMAT_VERSION = 1
SPLITS = ("train", "val")

Shard = dict[str, Any]
FEW_FILES = 256


class ShardError(ValueError):
    """Documents that cannot be tokenized, or a shard folder that cannot be trusted: cut short, changed, of another
    tokenizer."""


class TokenShards:
    """One split of a shard folder, read by position; nothing is loaded until it is asked for.

    Args:
        tokenizer_sha256: hash of the tokenizer that the model will have, where the caller knows it.

    Raises:
        ShardError: a manifest that cannot be read or is of another tokenizer or format, or a shard that is missing or cut.
    """

    def __init__(self, folder: Path, split: str, tokenizer_sha256: str | None = None) -> None:
        self._folder = folder
        manifest = self._read_manifest()
        found = manifest["tokenizer_sha256"]
        if tokenizer_sha256 is not None and found != tokenizer_sha256:
            raise ShardError(
                f"{folder}: tokenized with another tokenizer ({found[:12]}, expected {tokenizer_sha256[:12]}); materialize "
                "these shards again"
            )
        self.dtype = np.dtype(manifest["dtype"]).newbyteorder("<")
        self.vocab_size: int = manifest["vocab_size"]
        self._shards: list[Shard] = [shard for shard in manifest["shards"] if shard["split"] == split]
        if not self._shards:
            raise ShardError(f"{folder}: no shard of split '{split}'; materialize these shards again")
        self._starts = np.cumsum([0, *(shard["num_tokens"] for shard in self._shards)])
        self.num_tokens = int(self._starts[-1])
        allow_open_files(len(self._shards))
        self._maps = [self._open(shard) for shard in self._shards]

    def _read_manifest(self) -> dict[str, Any]:
        path = self._folder / MANIFEST_FILE
        try:
            manifest = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise ShardError(f"{path}: not a readable manifest ({error}); materialize these shards again") from None
        if not isinstance(manifest, dict) or manifest.get("format_version") != FORMAT_VERSION:
            raise ShardError(f"{path}: not a manifest of format {FORMAT_VERSION}; materialize these shards again")
        missing = [field for field in MANIFEST_FIELDS if field not in manifest]
        if missing:
            raise ShardError(f"{path}: lacks {', '.join(missing)}; materialize these shards again")
        return manifest

    def _open(self, shard: Shard) -> NDArray[Any]:
        path = self._folder / shard["file"]
        expected = shard["num_tokens"] * self.dtype.itemsize
        found = path.stat().st_size if path.exists() else 0
        if found != expected:
            raise ShardError(f"{path}: {found} bytes, the manifest says {expected}; materialize these shards again")
        # A plain array over the map: a slice of a memmap takes some microseconds to make.
        return np.asarray(np.memmap(path, dtype=self.dtype, mode="r"))

    def checksums(self) -> dict[Path, str]:
        """The sha256 that each file of this split had when it was written."""
        return {self._folder / shard["file"]: shard["sha256"] for shard in self._shards}

    def verify(self) -> None:
        """Read every shard and compare its checksum.

        Raises:
            ShardError: naming the first file that differs.
        """
        expected = self.checksums()
        with ThreadPoolExecutor(READING_THREADS) as pool:
            for path, digest in zip(expected, pool.map(sha256_of, expected), strict=True):
                if digest != expected[path]:
                    raise ShardError(
                        f"{path}: its checksum is not the manifest's; remove its folder and materialize these shards again"
                    )

    def num_windows(self, context_length: int) -> int:
        """Windows of `context_length` + 1 tokens that overlap by one: each token is predicted once."""
        return max(0, (self.num_tokens - 1) // context_length)

    def window(self, index: int, context_length: int) -> NDArray[Any]:
        """Tokens of window `index`, shape (context_length + 1,), across shards where it has to be."""
        start = index * context_length
        return self.read(start, start + context_length + 1)

    def windows_into(self, rows: Sequence[NDArray[Any]], indices: NDArray[np.int64], context_length: int) -> None:
        """Copy windows into rows of shape (context_length + 1,), their shards looked up all at once."""
        starts = indices * context_length
        shards = np.searchsorted(self._starts, starts, side="right") - 1
        offsets = starts - self._starts[shards]
        places = zip(shards.tolist(), offsets.tolist(), indices.tolist(), strict=True)
        for row, (shard, offset, index) in zip(rows, places, strict=True):
            part = self._maps[shard][offset : offset + context_length + 1]
            # A window at the end of a shard goes on in the next one.
            row[:] = part if len(part) == len(row) else self.window(index, context_length)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        if not 0 <= start <= stop <= self.num_tokens:
            raise IndexError(f"{self._folder}: tokens {start} to {stop} of {self.num_tokens}")
        shard = int(np.searchsorted(self._starts, start, side="right")) - 1
        parts = []
        while start < stop:
            offset, end = int(self._starts[shard]), min(stop, int(self._starts[shard + 1]))
            parts.append(self._maps[shard][start - offset : end - offset])
            start, shard = end, shard + 1
        return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, self.dtype), *parts])


def allow_open_files(num: int) -> None:
    """Raise this process's limit of open files as far as it may be: a map keeps its file open, and the usual 1,024 are fewer
    than the shards of 100 billion tokens."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if num > FEW_FILES and soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
