"""Bases that are not pretrained here: the control with random weights, and models made elsewhere (M26, M36)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg

from lang1_assets.ops.linking import link_or_copy
from lang1_assets.resources.store import listing_hash
from lang1_assets.resources.tracked_run import TrackedRun
from lang1_assets.settings.training import Variant

ONLY_CHECKPOINT = "tokens-000000000000000"


def untrained(variant: Variant, config: dict[str, Any], work: Path) -> Callable[[TrackedRun], dict[str, Any]] | None:
    """What is done in the place of training: random weights written, somebody's folder taken over; None where there is a job."""
    if variant.random_weights:
        return lambda run: write_random_model(config, work)
    if variant.folder is not None:
        folder = variant.folder
        return lambda run: take_folder(folder, work)
    return None


def take_folder(folder: Path, work: Path) -> dict[str, Any]:
    """A model made elsewhere as a trajectory of one checkpoint: linked, never copied; its tokens are not known (M36)."""
    from lang1_assets.ops.outside_models import num_parameters

    target = work / "trajectory" / ONLY_CHECKPOINT
    # Looked at once, so that what cannot be used is known before anything waits for it.
    number = num_parameters(folder)
    target.mkdir(parents=True, exist_ok=True)
    for file in sorted(folder.iterdir()):
        if file.is_file():
            link_or_copy(file, target / file.name)
    return {
        "num_parameters": number,
        "steps": 0,
        "tokens": None,
        "trajectory": [ONLY_CHECKPOINT],
        "folder": str(folder),
    }


def folder_listing(variant: Variant) -> str | None:
    if variant.folder is None:
        return None
    if not variant.folder.is_dir():
        raise dg.Failure(f"{variant.folder}: not a folder; correct variants.NAME.folder", allow_retries=False)
    return listing_hash([file for file in variant.folder.iterdir() if file.is_file()])


def write_random_model(config: dict[str, Any], work: Path) -> dict[str, Any]:
    """The control: initialised like every other variant, never trained."""
    from lang1_assets.ops.model import ModelShape, save_model
    from lang1_assets.ops.pretraining.start import random_model

    model = random_model(config["objective"], ModelShape(**config["shape"]), config["vocab_size"], config["seed"])
    save_model(model, model.state_dict(), Path(config["tokenizer_folder"]), work / "trajectory" / ONLY_CHECKPOINT)
    return {"num_parameters": model.num_parameters(), "steps": 0, "tokens": 0, "trajectory": [ONLY_CHECKPOINT]}
