"""What the report takes over from studies, claims, memorization and model cards: whatever of them was made so far."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lang1_assets.ops.study.names import STUDY_NAMES
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import Settings

CLAIMS_FILE, CARD_FILE = "claims.json", "card.md"
ASSETS = (*STUDY_NAMES, "claims", "model_card", "memorization")


@dataclass(frozen=True, kw_only=True)
class Made:
    """The finished artifacts, by what they are."""

    studies: dict[str, Artifact]
    memorized: dict[str, Artifact]
    """By variant."""
    cards: dict[tuple[str, str], Artifact]
    """By variant and recipe."""
    claims: Artifact | None

    @property
    def artifacts(self) -> list[Artifact]:
        found = [*self.studies.values(), *self.memorized.values(), *self.cards.values()]
        return found if self.claims is None else [*found, self.claims]


def made_so_far(store: ArtifactStore, settings: Settings) -> Made:
    return Made(
        studies=dict(_found(store, {name: f"study/{name}" for name in STUDY_NAMES})),
        memorized=dict(_found(store, {variant: f"memorization/{variant}" for variant in settings.variants})),
        cards=dict(
            _found(
                store,
                {
                    (variant, recipe): f"model_card/{variant}/{recipe}"
                    for variant in settings.variants
                    for recipe in settings.recipes
                },
            )
        ),
        claims=store.find("claims"),
    )


def _found(store: ArtifactStore, names: dict[Any, str]) -> Iterator[tuple[Any, Artifact]]:
    for key, name in names.items():
        artifact = store.find(name)
        if artifact is not None:
            yield key, artifact


def parts_of(made: Made, tracking: Tracking) -> dict[str, Any]:
    """The fields of `ReportData` that they fill."""
    from lang1_assets.ops.report import CardText, Memorized, StudyResult

    assets = f"{tracking.dagster_url}/assets"
    studies = [
        StudyResult(name=name, figures=figures_of(item), asset_url=f"{assets}/{name}", mlflow_url=run_of(item))
        for name, item in made.studies.items()
    ]
    memorized = [
        Memorized(
            model=variant,
            is_clean=item.summary["is_clean"],
            verdict=item.summary["verdict"],
            figures=figures_of(item),
            asset_url=f"{assets}/memorization",
            mlflow_url=run_of(item),
        )
        for variant, item in made.memorized.items()
    ]
    cards = [
        CardText(
            variant=variant,
            recipe=recipe,
            text=(item.path / CARD_FILE).read_text(),
            asset_url=f"{assets}/model_card",
        )
        for (variant, recipe), item in made.cards.items()
    ]
    return {
        "studies": tuple(studies),
        "claims": judged(made.claims),
        "memorized": tuple(memorized),
        "cards": tuple(cards),
    }


def figures_of(artifact: Artifact) -> tuple[Any, ...]:
    from lang1_assets.ops.study.figure import FIGURE_FILE, read_figures

    return read_figures(artifact.path) if (artifact.path / FIGURE_FILE).exists() else ()


def run_of(artifact: Artifact) -> str | None:
    url: str | None = artifact.summary.get("mlflow_url")
    return url


def judged(claims: Artifact | None) -> tuple[Any, ...]:
    from lang1_assets.ops.study.studies import from_json

    if claims is None:
        return ()
    return tuple(from_json(values) for values in json.loads((claims.path / CLAIMS_FILE).read_text()))
