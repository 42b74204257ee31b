"""Which artifacts each study reads: those that there are in the store, and those that the profile asks for."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lang1_assets.ops.baselines import BASELINES
from lang1_assets.ops.schemas import ROWS_FILE
from lang1_assets.resources.store import MANIFEST, Artifact, ArtifactStore
from lang1_assets.settings import Settings
from lang1_assets.settings.models import Served
from lang1_assets.settings.study import ELSEWHERE_RECIPES, ELSEWHERE_TASKS

ZERO_SHOT = "zero_shot"
OF_MODELS = re.compile(r"^(pretrained_model|finetuned_\w+|scaled_model|perplexities|predictions|\w+_evaluation)/")
Names = Callable[[Settings], list[str]]


def list_variants(settings: Settings) -> list[str]:
    """Everything that the profile still has, models from elsewhere too."""
    return [*settings.variants, *settings.models]


@dataclass(frozen=True, kw_only=True)
class Family:
    """Artifacts of one kind that studies read."""

    assets: Names
    """The Dagster assets that make them; artifacts are named `ASSET/...`."""
    expected: Names
    """Artifacts that the profile asks for, or folders in which at least one should be."""
    variants: Names = list_variants
    """Whose artifacts are read."""


def wanted(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Variant -> recipes that the profile asks for."""
    found = dict(settings.study.finetuned)
    main = settings.main_variant
    found[main] = tuple(dict.fromkeys((*settings.finetune.recipes, *found.get(main, ()))))
    return found


def modes_of(settings: Settings) -> tuple[str, ...]:
    """All in which a variant can be evaluated here, whether the demo makes it, a study, or a person did."""
    return ("zero_shot", *recipes_here(settings))


def decoders(settings: Settings) -> list[str]:
    """Of `wanted`, those that can be asked a question in words."""
    return [key for key in wanted(settings) if settings.variants[key].architecture == "decoder"]


def of_variants(names: Iterable[str], variants: Sequence[str]) -> list[str]:
    return [name for name in names if name.split("/")[1] in variants]


def compared_over_time(settings: Settings) -> list[str]:
    """Ours, the encoders, and the decoders of the encoders' text (Fig. A2)."""
    known = settings.variants
    encoders = [key for key in known if known[key].architecture == "encoder"]
    texts = [set(known[key].mixture) for key in encoders]
    beside = [key for key in known if key not in encoders and set(known[key].mixture) in texts]
    return list(dict.fromkeys((settings.main_variant, *encoders, *beside)))


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
    "ours": Family(
        assets=lambda settings: [f"{recipe}_evaluation" for recipe in recipes_here(settings)],
        expected=lambda settings: of_variants(finetuned_names(settings), [settings.main_variant]),
        variants=lambda settings: [settings.main_variant],
    ),
    "ours_and_encoders": Family(
        assets=lambda settings: [f"{recipe}_evaluation" for recipe in recipes_here(settings)],
        expected=lambda settings: of_variants(finetuned_names(settings), compared_over_time(settings)),
        variants=lambda settings: compared_over_time(settings),
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
        expected=lambda settings: [f"baseline_evaluation/{name}" for name in BASELINES],
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
    "temporal_decay": ("ours_and_encoders", "baseline"),
    "ablations": ("finetuned",),
    "calibration": ("ours",),
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
    found = {
        family: [
            item
            for asset in FAMILIES[family].assets(settings)
            for item in finished(store, asset, FAMILIES[family].variants(settings))
        ]
        for family in families
    }
    if "scaled" in found:
        found["scaled"] = [item for item in found["scaled"] if is_asked_for(settings, item)]
    return found


def is_asked_for(settings: Settings, scaled: Artifact) -> bool:
    """Whether the profile still asks for so many notes of this task: what it asked for once is still in the store."""
    numbers = {str(number) for number in settings.study.num_notes} | {"all"}
    tasks = {row["task"] for row in json.loads((scaled.path / ROWS_FILE).read_text())}
    return scaled.name.rsplit("/", 1)[1] in numbers and tasks == {settings.study.scaled_task}


def can_be_made(settings: Settings, study: str) -> bool:
    """Whether the profile asks for anything that the study shows."""
    return any(FAMILIES[family].expected(settings) for family in READ_BY[study])


def finished(store: ArtifactStore, asset: str, known: Sequence[str]) -> Iterator[Artifact]:
    """The asset's artifacts, of these variants and models, and of every baseline."""
    root = Path(store.root)
    for manifest in sorted((root / asset).rglob(MANIFEST)):
        name = str(manifest.parent.relative_to(root))
        is_half_made = any(part.endswith((".partial", ".old")) or ".partial-" in part for part in name.split("/"))
        is_known = asset in ("baseline_evaluation", name) or name.split("/")[1] in known
        artifact = store.find(name) if is_known and not is_half_made else None
        if artifact is not None and is_of_this_model(store, artifact):
            yield artifact


def is_of_this_model(store: ArtifactStore, item: Artifact) -> bool:
    """Whether no model or evaluation behind it was made anew since: one of an earlier model says nothing of this one."""
    for name, fingerprint in item.inputs.items():
        source = store.find(name) if OF_MODELS.search(name) else None
        if source is not None and (source.fingerprint != fingerprint or not is_of_this_model(store, source)):
            return False
    return True


def is_of_these_inputs(store: ArtifactStore, item: Artifact) -> bool:
    """Whether everything that it was made from is still there as it was."""
    sources = {name: store.find(name) for name in item.inputs}
    return all(
        source is not None and source.fingerprint == item.inputs[name] and is_of_this_model(store, source)
        for name, source in sources.items()
    )


def told_apart(
    store: ArtifactStore,
    names: Iterable[str],
    is_current: Callable[[ArtifactStore, Artifact], bool] = is_of_this_model,
) -> tuple[dict[str, Artifact], list[str]]:
    """Of these artifacts those that are there and tell of what there is now, by name; and the names of the others there."""
    there = {name: item for name in names if (item := store.find(name)) is not None}
    current = {name: item for name, item in there.items() if is_current(store, item)}
    return current, [name for name in there if name not in current]


def missing_of(settings: Settings, found: Found) -> list[str]:
    """What the profile asks for and nobody has made, by name."""
    there = [item.name for items in found.values() for item in items]
    expected = [name for family in found for name in FAMILIES[family].expected(settings)]
    return [
        name
        for name in dict.fromkeys(expected)
        if not any(held == name or held.startswith(f"{name}/") for held in there)
    ]
