"""What was evaluated so far, read from the store: the cells of the studies."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lang1_assets.evaluation.families import ZERO_SHOT, Found, missing_of
from lang1_assets.ops.schemas import PREDICTIONS_FILE, ROWS_FILE
from lang1_assets.ops.study.cells import Base, Cell, Perplexity, Studied, Trajectory
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.settings import Settings

ALL_NOTES = "all"
FINETUNED = ("finetuned", "ours", "ours_and_encoders")
"""Families of variants finetuned here."""
EVALUATIONS = (*FINETUNED, "zero_shot", "outside", "served", "baseline", "elsewhere", "scaled")
"""Families whose artifacts are cells."""


def studied_of(store: ArtifactStore, settings: Settings, found: Found) -> Studied:
    # An artifact may be in two families.
    named = {item.name: (family, item) for family, items in found.items() for item in items if family in EVALUATIONS}
    return Studied(
        cells=[cell_of(settings, store, family, item) for family, item in named.values()],
        bases=bases_of(store, settings),
        split=settings.cohorts.headline_split,
        test_splits=settings.cohorts.test_splits,
        scaled_task=settings.study.scaled_task,
        num_resamples=settings.evaluate.num_resamples,
        seed=settings.seed,
        trajectories=[trajectory_of(item) for item in found.get("trajectory", ())],
        perplexities=[held for item in found.get("perplexity", ()) for held in perplexities_of(item)],
        strata={item.name: rows_of(item) for item in found.get("strata", ())},
        overlap={item.name: rows_of(item) for item in found.get("overlap", ())},
        dependence=[row for item in found.get("dependence", ()) for row in rows_of(item)],
        missing=missing_of(settings, found),
        split_titles=settings.cohorts.split_titles,
    )


def bases_of(store: ArtifactStore, settings: Settings) -> list[Base]:
    made = {key: store.find(f"pretrained_model/{key}") for key in settings.variants}
    return [
        Base(
            name=key,
            corpora=frozenset(variant.mixture),
            architecture=variant.architecture,
            is_random=variant.random_weights,
            is_from_folder=variant.folder is not None,
            num_parameters=None if (model := made[key]) is None else model.summary.get("num_parameters"),
            shape="" if variant.folder else json.dumps(settings.shape_of(key).model_dump(), sort_keys=True),
        )
        for key, variant in settings.variants.items()
    ]


def cell_of(settings: Settings, store: ArtifactStore, family: str, item: Artifact) -> Cell:
    """Of one of `EVALUATIONS`."""
    asset, *parts = item.name.split("/")
    is_finetuned = family in FINETUNED
    kind: Any = "variant" if is_finetuned or family == "zero_shot" else family
    modes = {
        "baseline": "each task alone",
        "elsewhere": parts[-1],
        "scaled": settings.study.scaled_task,
    }
    mode = asset.removesuffix("_evaluation") if is_finetuned else modes.get(family, ZERO_SHOT)
    return Cell(
        model=parts[0],
        kind=kind,
        trained_on=None if mode == ZERO_SHOT else mode,
        source=item.name,
        predictions=item.path / PREDICTIONS_FILE,
        rows=rows_of(item),
        pretrain_tokens=item.summary.get("pretrain_tokens"),
        finetune_tokens=item.summary.get("finetune_tokens"),
        num_notes=notes_learned(store, item) if family == "elsewhere" else item.summary.get("num_notes"),
        has_all_notes=family == "scaled" and parts[-1] == ALL_NOTES,
        is_untrained=family == "outside" and settings.models[parts[0]].kind == "untrained",
    )


def notes_learned(store: ArtifactStore, item: Artifact) -> int | None:
    """Labelled notes that the evaluated model has learned from; None of one that was not finetuned."""
    models = (store.find(name) for name in item.inputs if name.startswith("finetuned_"))
    return next((sum(model.summary.get("train_notes", {}).values()) for model in models if model), None)


def trajectory_of(item: Artifact) -> Trajectory:
    return Trajectory(
        model=item.name.split("/")[1], source=item.name, rows=rows_of(item), gains=item.summary["comprehension_gains"]
    )


def perplexities_of(item: Artifact) -> list[Perplexity]:
    return [
        Perplexity(
            model=item.name.split("/")[1],
            mode=row["mode"],
            task=row["task"],
            value=row["perplexity"],
            n=row["n"],
            source=item.name,
            bits_per_byte=row.get("bits_per_byte"),
            low=row.get("low"),
            high=row.get("high"),
        )
        for row in rows_of(item)
        if row["perplexity"] is not None
    ]


def rows_of(item: Artifact) -> Sequence[Any]:
    rows: list[Mapping[str, Any]] = json.loads((item.path / ROWS_FILE).read_text())
    return rows
