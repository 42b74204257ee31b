"""What was evaluated so far, read from the store: the studies' cells, and which of the profile's are missing."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lang1_assets.ops.schemas import PREDICTIONS_FILE, ROWS_FILE
from lang1_assets.ops.study.cells import Base, Cell, Perplexity, Studied, Trajectory
from lang1_assets.resources.store import MANIFEST, Artifact, ArtifactStore
from lang1_assets.settings import Settings
from lang1_assets.settings.models import Served
from lang1_assets.settings.study import ELSEWHERE_RECIPES, ELSEWHERE_TASKS

ZERO_SHOT = "zero_shot"
ALL_NOTES = "all"
Names = Callable[[Settings], list[str]]


@dataclass(frozen=True, kw_only=True)
class Family:
    """Artifacts of one kind that studies read."""

    assets: Names
    """The Dagster assets that make them; artifacts are named `ASSET/...`."""
    expected: Names
    """Artifacts that the profile asks for, or folders in which at least one should be."""


def wanted(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Variant -> recipes that the profile asks for."""
    found = dict(settings.study.finetuned)
    main = settings.main_variant
    found[main] = tuple(dict.fromkeys((*settings.finetune.recipes, *found.get(main, ()))))
    return found


def decoders(settings: Settings) -> list[str]:
    """Of `wanted`, those that can be asked a question in words."""
    return [key for key in wanted(settings) if settings.variants[key].architecture == "decoder"]


def recipes_here(settings: Settings) -> list[str]:
    return [recipe for recipe in settings.recipes if recipe not in ELSEWHERE_RECIPES]


def finetuned_names(settings: Settings) -> list[str]:
    known = set(recipes_here(settings))
    return [
        f"{recipe}_evaluation/{key}" for key, asked in wanted(settings).items() for recipe in asked if recipe in known
    ]


def names_elsewhere(settings: Settings) -> list[str]:
    if settings.elsewhere is None:
        return []
    tested = {*ELSEWHERE_TASKS, *ELSEWHERE_RECIPES}
    cells = [(key, recipe) for key, asked in wanted(settings).items() for recipe in asked if recipe in tested]
    abroad = {key for key, recipe in cells if recipe in ELSEWHERE_RECIPES}
    cells = [(key, ZERO_SHOT) for key in decoders(settings) if key in abroad] + [
        (key, recipe) for key, recipe in cells if key in abroad
    ]
    return [f"elsewhere_evaluation/{key}/{mode}" for key, mode in cells]


def outside_names(settings: Settings, *, are_served: bool) -> list[str]:
    asset = "served_evaluation" if are_served else "outside_evaluation"
    return [f"{asset}/{key}" for key, model in settings.models.items() if isinstance(model, Served) == are_served]


def assets_of(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name.split("/")[0] for name in names))


FAMILIES: dict[str, Family] = {
    "zero_shot": Family(
        assets=lambda settings: ["zero_shot_evaluation"],
        expected=lambda settings: [f"zero_shot_evaluation/{key}" for key in decoders(settings)],
    ),
    "finetuned": Family(
        assets=lambda settings: [f"{recipe}_evaluation" for recipe in recipes_here(settings)],
        expected=finetuned_names,
    ),
    "outside": Family(
        assets=lambda settings: assets_of(outside_names(settings, are_served=False)),
        expected=lambda settings: outside_names(settings, are_served=False),
    ),
    "served": Family(
        assets=lambda settings: assets_of(outside_names(settings, are_served=True)),
        expected=lambda settings: outside_names(settings, are_served=True),
    ),
    "baseline": Family(
        assets=lambda settings: ["baseline_evaluation"],
        expected=lambda settings: ["baseline_evaluation"],
    ),
    "elsewhere": Family(
        assets=lambda settings: ["elsewhere_evaluation"] if settings.elsewhere else [],
        expected=names_elsewhere,
    ),
    "scaled": Family(
        assets=lambda settings: ["scaled_evaluation"],
        expected=lambda settings: [f"scaled_evaluation/{key}" for key in settings.study.scaled],
    ),
    "trajectory": Family(
        assets=lambda settings: ["trajectory_evaluation"],
        expected=lambda settings: [f"trajectory_evaluation/{settings.main_variant}"],
    ),
    "perplexity": Family(
        assets=lambda settings: ["answer_perplexity"],
        expected=lambda settings: [f"answer_perplexity/{key}" for key in decoders(settings)],
    ),
    "dependence": Family(assets=lambda settings: ["label_dependence"], expected=lambda settings: ["label_dependence"]),
    "strata": Family(assets=lambda settings: ["strata"], expected=lambda settings: [f"strata/{settings.main_variant}"]),
    "overlap": Family(
        assets=lambda settings: ["patient_overlap"],
        expected=lambda settings: [f"patient_overlap/{settings.main_variant}"],
    ),
}
READ_BY: dict[str, tuple[str, ...]] = {
    "zero_shot_comparison": ("zero_shot", "finetuned", "outside", "served"),
    "finetuned_comparison": ("zero_shot", "finetuned", "outside", "served", "baseline"),
    "emergence": ("trajectory",),
    "token_budget": ("scaled",),
    "data_efficiency": ("scaled",),
    "answer_perplexity_study": ("perplexity", "zero_shot", "finetuned"),
    "transfer": ("zero_shot", "finetuned"),
    "other_hospital": ("elsewhere",),
    "temporal_decay": ("finetuned", "baseline"),
    "ablations": ("finetuned",),
    "calibration": ("finetuned",),
    "label_dependence": ("dependence",),
    "strata": ("strata",),
    "patient_overlap": ("overlap",),
}
"""Study -> families of artifacts."""

Found = dict[str, list[Artifact]]
"""Family -> its artifacts."""


def assets_read(settings: Settings, studies: Iterable[str]) -> list[str]:
    """The assets that some studies depend on."""
    names = [name for study in studies for family in READ_BY[study] for name in FAMILIES[family].assets(settings)]
    return list(dict.fromkeys(names))


def found_for(store: ArtifactStore, settings: Settings, studies: Iterable[str]) -> Found:
    """Everything there is in the families that some studies read."""
    families = dict.fromkeys(family for study in studies for family in READ_BY[study])
    return {
        family: [item for asset in FAMILIES[family].assets(settings) for item in finished(store, settings, asset)]
        for family in families
    }


def finished(store: ArtifactStore, settings: Settings, asset: str) -> Iterator[Artifact]:
    """The asset's artifacts, of variants and models that the profile still has."""
    root = Path(store.root)
    known = {*settings.variants, *settings.models}
    for manifest in sorted((root / asset).rglob(MANIFEST)):
        name = str(manifest.parent.relative_to(root))
        is_half_made = any(part.endswith((".partial", ".old")) or ".partial-" in part for part in name.split("/"))
        is_known = asset in ("baseline_evaluation", name) or name.split("/")[1] in known
        artifact = store.find(name) if is_known and not is_half_made else None
        if artifact is not None:
            yield artifact


def missing_of(settings: Settings, found: Found) -> list[str]:
    """What the profile asks for and nobody has made, by name."""
    there = [item.name for items in found.values() for item in items]
    expected = [name for family in found for name in FAMILIES[family].expected(settings)]
    return [
        name
        for name in dict.fromkeys(expected)
        if not any(held == name or held.startswith(f"{name}/") for held in there)
    ]


def studied_of(store: ArtifactStore, settings: Settings, found: Found) -> Studied:
    return Studied(
        cells=[cell for family, items in found.items() for item in items for cell in cells_of(settings, family, item)],
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


def cells_of(settings: Settings, family: str, item: Artifact) -> Iterator[Cell]:
    """The cell of an evaluation; none of another artifact."""
    asset, *parts = item.name.split("/")
    if family not in ("zero_shot", "finetuned", "outside", "served", "baseline", "elsewhere", "scaled"):
        return
    kind: Any = "variant" if family in ("zero_shot", "finetuned") else family
    modes = {
        "zero_shot": ZERO_SHOT,
        "finetuned": asset.removesuffix("_evaluation"),
        "baseline": "each task alone",
        "elsewhere": parts[-1],
        "scaled": settings.study.scaled_task,
    }
    mode = modes.get(family, ZERO_SHOT)
    yield Cell(
        model=parts[0],
        kind=kind,
        trained_on=None if mode == ZERO_SHOT else mode,
        source=item.name,
        predictions=item.path / PREDICTIONS_FILE,
        rows=rows_of(item),
        pretrain_tokens=item.summary.get("pretrain_tokens"),
        finetune_tokens=item.summary.get("finetune_tokens"),
        num_notes=item.summary.get("num_notes"),
        has_all_notes=family == "scaled" and parts[-1] == ALL_NOTES,
    )


def trajectory_of(item: Artifact) -> Trajectory:
    return Trajectory(
        model=item.name.split("/")[1], source=item.name, rows=rows_of(item), gain=item.summary.get("comprehension_gain")
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
        )
        for row in rows_of(item)
        if row["perplexity"] is not None
    ]


def rows_of(item: Artifact) -> Sequence[Any]:
    rows: list[Mapping[str, Any]] = json.loads((item.path / ROWS_FILE).read_text())
    return rows
