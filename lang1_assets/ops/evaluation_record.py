"""What an evaluation was made of, in hashes: beside the predictions, enough to ask for exactly the same again.

A record holds no text: of prompts, weights and SQL it has SHA-256 sums, of packages their versions.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypedDict

import torch

from lang1_assets.ops.checksums import sha256_of
from lang1_assets.ops.scoring.letters import SCORING_PRECISION
from lang1_assets.ops.tasks import Task

PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "polars")
WEIGHTS = ("*.safetensors", "config.json", "adapter_config.json")
"""The files of a model's folder that decide what it computes; its tokenizer has a hash of its own."""


class PromptsUsed(TypedDict):
    """The prompts of one task and split, in the order of the predictions."""

    task: str
    split: str
    num: int
    sha256: str


class TaskUsed(TypedDict):
    """One task as it was asked."""

    version: int
    definition_sha256: str
    """Of question, options and, for a hospital's own task, the SQL of its cohort."""
    cohort_sql_sha256: str | None
    """Of all SQL behind the cohort, as it was run; None where the cohort is in the definition."""
    examples: str
    """Fingerprint of the labelled notes."""


def prompts_used(task: str, split: str, prompts: Sequence[bytes]) -> PromptsUsed:
    """Each prompt as its token ids (little-endian int64) or, to a server, its text.

    >>> prompts_used("mortality", "test", [b"a", b"b"])["num"]
    2
    """
    digest = hashlib.sha256()
    for prompt in prompts:
        # Length first: prompts that are cut elsewhere are other prompts.
        digest.update(len(prompt).to_bytes(8, "little") + prompt)
    return PromptsUsed(task=task, split=split, num=len(prompts), sha256=digest.hexdigest())


def task_used(task: Task, cohort_sql_sha256: str | None, examples: str) -> TaskUsed:
    definition = json.dumps(task.to_json(), sort_keys=True).encode()
    return TaskUsed(
        version=task.version,
        definition_sha256=hashlib.sha256(definition).hexdigest(),
        cohort_sql_sha256=cohort_sql_sha256,
        examples=examples,
    )


def model_sha256(folders: Iterable[Path]) -> str:
    """Of the weights and the configuration of a model: of one folder, or of an adapter's and its base's."""
    digest = hashlib.sha256()
    for folder in folders:
        files = sorted({path for pattern in WEIGHTS for path in folder.glob(pattern)})
        for file in files:
            digest.update(f"{file.name} {sha256_of(file)}\n".encode())
    return digest.hexdigest()


def values_sha256(values: Mapping[str, Any]) -> str:
    """Of what stands in the place of weights: the shape and seed of an untrained model, the name and version of a served one."""
    return hashlib.sha256(json.dumps(dict(values), sort_keys=True, default=str).encode()).hexdigest()


def surroundings() -> dict[str, str]:
    """What can move the last digits of a number: versions, and where it was computed in which precision."""
    has_gpu = torch.cuda.is_available()
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "device": torch.cuda.get_device_name() if has_gpu else "cpu",
        "precision": str(SCORING_PRECISION["cuda" if has_gpu else "cpu"]).removeprefix("torch."),
    }
