"""Which checkpoint a run starts from: a hash of what is in its files. No torch: assets ask for it."""

from __future__ import annotations

import hashlib
from pathlib import Path


def checkpoint_sha256(folder: Path) -> str:
    """Hash of the config and of every safetensors file, read in pieces (7B in bf16: 13 GB); ValueError as `weight_files`."""
    digest = hashlib.sha256()
    for path in (*weight_files(folder), folder / "config.json"):
        with path.open("rb") as handle:
            digest.update(f"{path.name}\0".encode() + hashlib.file_digest(handle, "sha256").digest())
    return digest.hexdigest()


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a Hugging Face folder.

    Raises:
        ValueError: it is none.
    """
    weights = sorted(folder.glob("*.safetensors"))
    if not (folder / "config.json").is_file() or not weights:
        raise ValueError(
            f"pretrain.start_from {folder}: expected a Hugging Face folder with config.json and *.safetensors; weights "
            "in other formats can run code when they are read: convert them first"
        )
    return weights
