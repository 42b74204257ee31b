"""The shape of a model that a run starts from: taken from its checkpoint, and compared with what the profile says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

REQUIRED = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")


def shape_from_checkpoint(values: dict[str, Any]) -> list[str]:
    """Complete a profile's `model` from the checkpoint that `pretrain.start_from` names; what contradicts it.

    A folder that is not on this machine says nothing: the asset asks for it where it is needed.
    """
    pretrain = values.get("pretrain")
    folder = pretrain.get("start_from") if isinstance(pretrain, dict) else None
    if not isinstance(folder, str) or not Path(folder).exists():
        return []
    file = Path(folder) / "config.json"
    try:
        published = json.loads(file.read_text())
    except (OSError, ValueError):
        return [f"pretrain.start_from: {file} is not readable; expected a Hugging Face folder of a causal model"]
    missing = [name for name in REQUIRED if not isinstance(published, dict) or name not in published]
    if missing:
        return [f"pretrain.start_from: {file} has no {', '.join(missing)}; expected a Llama-like decoder"]
    given = values.get("model")
    if given is not None and not isinstance(given, dict):
        return []
    shape = shape_of(published)
    values["model"] = {**shape, **(given or {})}
    return [
        f"model.{name}: the checkpoint has {shape[name]} ({file}), the profile {value}; leave it out (or `model: null`, to "
        "drop what the profile extends)"
        for name, value in (given or {}).items()
        if name in shape and contradicts(name, value, shape[name])
    ]


def shape_of(published: dict[str, Any]) -> dict[str, Any]:
    """Fields of `settings.Model` from those of a config.json; absent ones as transformers reads them."""
    fields = {name: published[name] for name in REQUIRED}
    fields["num_key_value_heads"] = published.get("num_key_value_heads") or published["num_attention_heads"]
    optional = {
        "context_length": "max_position_embeddings",
        "tie_word_embeddings": "tie_word_embeddings",
        "rms_norm_eps": "rms_norm_eps",
        "initializer_range": "initializer_range",
    }
    return fields | {ours: published[theirs] for ours, theirs in optional.items() if theirs in published}


def contradicts(name: str, ours: Any, theirs: Any) -> bool:
    """A shorter context is trained all the same; random weights are not drawn."""
    if name == "initializer_range":
        return False
    if name == "context_length" and isinstance(ours, int) and isinstance(theirs, int):
        return ours > theirs
    return bool(ours != theirs)
