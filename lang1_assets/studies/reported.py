"""What the report takes over from studies, analyses, claims, memorization and model cards: what of them is of today's models."""

import json
from dataclasses import dataclass
from typing import Any

from lang1_assets.evaluation.families import FAMILIES, READ_BY, is_of_these_inputs, told_apart
from lang1_assets.ops.schemas import ROWS_FILE
from lang1_assets.ops.study.names import ANALYSIS_NAMES, STUDY_NAMES
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import Settings

CLAIMS_FILE, CARD_FILE = "claims.json", "card.md"
ASSETS = (*STUDY_NAMES, *ANALYSIS_NAMES, "claims", "model_card", "memorization")


@dataclass(frozen=True, kw_only=True)
class Made:
    """The finished artifacts, by what they are."""

    studies: dict[str, Artifact]
    analyses: dict[str, Artifact]
    """By asset, as the studies."""
    memorized: dict[str, Artifact]
    """By variant."""
    cards: dict[tuple[str, str], Artifact]
    """By variant and recipe."""
    claims: Artifact | None
    left_out: tuple[str, ...] = ()
    """Names of what is there and was made of earlier models or inputs."""

    @property
    def artifacts(self) -> list[Artifact]:
        found = [*self.studies.values(), *self.analyses.values(), *self.memorized.values(), *self.cards.values()]
        return found if self.claims is None else [*found, self.claims]


def made_so_far(store: ArtifactStore, settings: Settings) -> Made:
    variants = settings.variants
    cards = [(variant, recipe) for variant in variants for recipe in settings.recipes]
    analyzed = analysis_artifacts(settings)
    # Studies, analyses and cards print numbers of others; what is memorized was measured on the model itself.
    studies, old_studies = told_apart(store, [f"study/{name}" for name in STUDY_NAMES], is_of_these_inputs)
    analyses, old_analyses = told_apart(store, analyzed.values(), is_of_these_inputs)
    shown, old_cards = told_apart(
        store, [f"model_card/{variant}/{recipe}" for variant, recipe in cards], is_of_these_inputs
    )
    memorized, old_memorized = told_apart(store, [f"memorization/{variant}" for variant in variants])
    claims, old_claims = told_apart(store, ["claims"], is_of_these_inputs)
    if claims and not claims["claims"].inputs.keys().isdisjoint([*old_studies, *old_analyses]):
        claims, old_claims = {}, ["claims"]
    return Made(
        studies={name: item for name in STUDY_NAMES if (item := studies.get(f"study/{name}"))},
        analyses={name: item for name, artifact in analyzed.items() if (item := analyses.get(artifact))},
        memorized={variant: item for variant in variants if (item := memorized.get(f"memorization/{variant}"))},
        cards={key: item for key in cards if (item := shown.get(f"model_card/{key[0]}/{key[1]}"))},
        claims=claims.get("claims"),
        left_out=(*old_claims, *old_studies, *old_analyses, *old_memorized, *old_cards),
    )


def analysis_artifacts(settings: Settings) -> dict[str, str]:
    """Analysis -> the artifact that its findings are judged from: the main variant's."""
    return {
        name: artifact
        for name in ANALYSIS_NAMES
        for family in READ_BY[name]
        for artifact in FAMILIES[family].expected(settings)
    }


def parts_of(made: Made, tracking: Tracking, settings: Settings) -> dict[str, Any]:
    """The fields of `ReportData` that they fill."""
    from lang1_assets.ops.report import CardText, Memorized, StudyResult

    assets = f"{tracking.dagster_url}/assets"
    studies = [
        StudyResult(
            name=name,
            figures=figures_of_analysis(name, item, settings) if name in made.analyses else figures_of(item),
            asset_url=f"{assets}/{name}",
            mlflow_url=run_of(item),
            missing=lacking(item),
        )
        for name, item in (made.studies | made.analyses).items()
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


def figures_of_analysis(name: str, artifact: Artifact, settings: Settings) -> tuple[Any, ...]:
    from lang1_assets.ops.study.label_figures import analysis_figures

    rows = json.loads((artifact.path / ROWS_FILE).read_text())
    test = settings.cohorts.headline_title({row["task"]: None for row in rows if "task" in row})
    return analysis_figures(name, rows, artifact.name, test)


def lacking(artifact: Artifact) -> tuple[str, ...]:
    """What the profile asks for and nobody had made; why an analysis has no rows."""
    missing, reason = artifact.summary.get("missing"), artifact.summary.get("switched_off")
    without = (f"Without: {', '.join(missing)}.",) if missing else ()
    return (*without, f"Switched off: {reason}.") if reason else without


def run_of(artifact: Artifact) -> str | None:
    url: str | None = artifact.summary.get("mlflow_url")
    return url


def judged(claims: Artifact | None) -> tuple[Any, ...]:
    from lang1_assets.ops.study.studies import from_json

    if claims is None:
        return ()
    return tuple(from_json(values) for values in json.loads((claims.path / CLAIMS_FILE).read_text()))
