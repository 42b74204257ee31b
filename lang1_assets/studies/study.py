"""The paper's figures and findings as assets: a study each, and the table of claims (figures 2 - 5, A - F, K - M)."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dagster as dg

from lang1_assets.evaluation import families
from lang1_assets.materialization import RESEARCH_OWNER, SYNTHETIC, markdown_table, materialized, picture, said_to_be
from lang1_assets.ops.study.cells import Studied
from lang1_assets.ops.study.claim import Judged
from lang1_assets.ops.study.evidence import CANNOT_TELL, DOES_NOT_HOLD, HOLDS
from lang1_assets.ops.study.figure import FIGURE_FILE, Figure, read_figures, write_figures
from lang1_assets.ops.study.studies import ANALYSES, STUDIES, Study, from_json, judged, to_json, unjudged
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import Settings
from lang1_assets.studies import studied

GROUP = "study"
CLAIMS = "claims"
CLAIMS_FILE = "claims.json"
WIDE_PICTURE, NARROW_PICTURE = "figure.png", "figure-phone.png"
CHECK = "claims_of_this_figure_hold"
CODE = [
    "lang1_assets.evaluation.families",
    "lang1_assets.studies.studied",
    "lang1_assets.ops.study",
    "lang1_assets.ops.comparison",
    "lang1_assets.ops.bootstrap",
    "lang1_assets.ops.metrics",
    "lang1_assets.ops.results",
    "lang1_assets.ops.analysis.groups",
    "lang1_assets.ops.figures",
    "lang1_assets.ops.split_titles",
    "lang1_assets.ops.tasks",
]


def build_assets(settings: Settings) -> list[Any]:
    return [*(study_asset(settings, study) for study in STUDIES), claims(settings)]


def study_asset(settings: Settings, study: Study) -> dg.AssetsDefinition:
    @dg.asset(
        name=study.name,
        deps=families.assets_read(settings, [study.name]),
        group_name=GROUP,
        owners=RESEARCH_OWNER,
        kinds={"polars", "matplotlib"},
        description=f"{study.paper}: {study.description}. " + (SYNTHETIC if settings.is_synthetic else ""),
        check_specs=[dg.AssetCheckSpec(CHECK, asset=study.name)],
    )
    def _study(context: dg.AssetExecutionContext, store: ArtifactStore, tracking: Tracking) -> dg.MaterializeResult:
        found = families.found_for(store, settings, [study.name])
        held = studied.studied_of(store, settings, found)
        figures = drawable(study, held)

        def make(work: Path) -> dict[str, Any]:
            verdicts = judged(study, held)
            with tracking.run(
                context,
                experiment="study",
                name=study.name,
                work=work,
                params={"profile": settings.name, "part": "study", "paper": study.paper, "split": held.split},
                inputs=inputs_of(found),
            ) as run:
                write_figures(figures, work)
                write_pictures(figures, work, settings.is_synthetic)
                write_claims(verdicts, work)
                run.log_values({f"claims/{verdict}": float(count) for verdict, count in counted(verdicts).items()})
                for file in (FIGURE_FILE, WIDE_PICTURE, CLAIMS_FILE):
                    run.log_file(work / file)
            if held.missing:
                context.log.warning(f"{study.name} is without what was not made: {', '.join(held.missing)}.")
            num_points = sum(len(figure.points) for figure in figures)
            kept = {"num_points": num_points, "missing": list(held.missing)}
            return {**kept, "mlflow_run_id": run.run_id, "mlflow_url": run.url}

        artifact = store.build(
            f"study/{study.name}",
            make,
            inputs=inputs_of(found),
            parameters=parameters(settings, held.bases, held.missing),
            code=CODE,
            on_wait=context.log.warning,
        )
        return study_result(study, artifact, settings.is_synthetic)

    return _study


def drawable(study: Study, held: Studied) -> tuple[Figure, ...]:
    """The study's figures.

    Raises:
        dg.Failure: no number of them was measured.
    """
    figures = study.figures(held) if study.figures is not None else ()
    if not any(point.value is not None for figure in figures for point in figure.points):
        named = ", ".join(held.missing) or "what its description names"
        raise dg.Failure(
            f"Nothing of {study.name} ({study.paper}) has been evaluated yet. Materialize first: {named}.",
            allow_retries=False,
        )
    return figures


def inputs_of(found: families.Found) -> list[Artifact]:
    return list({item.name: item for items in found.values() for item in items}.values())


def parameters(settings: Settings, bases: Sequence[Any], missing: Sequence[str]) -> dict[str, Any]:
    return {
        "split": settings.cohorts.headline_split,
        "num_resamples": settings.evaluate.num_resamples,
        "seed": settings.seed,
        "scaled_task": settings.study.scaled_task,
        "is_synthetic": settings.is_synthetic,
        "bases": [{**asdict(base), "corpora": sorted(base.corpora)} for base in bases],
        "missing": list(missing),
    }


def write_pictures(figures: tuple[Figure, ...], work: Path, is_synthetic: bool) -> None:
    # matplotlib takes a second to import; the definitions do without it.
    from lang1_assets.ops.study.pictures import draw_together

    for name, wide in ((WIDE_PICTURE, True), (NARROW_PICTURE, False)):
        (work / name).write_bytes(draw_together(figures, wide=wide, is_synthetic=is_synthetic))


def write_claims(verdicts: Sequence[Judged], folder: Path) -> None:
    (folder / CLAIMS_FILE).write_text(json.dumps([to_json(one) for one in verdicts], indent=1, allow_nan=False))


def read_claims(folder: Path) -> list[Judged]:
    return [from_json(values) for values in json.loads((folder / CLAIMS_FILE).read_text())]


def counted(verdicts: Sequence[Judged]) -> dict[str, int]:
    return {verdict: sum(one.verdict == verdict for one in verdicts) for verdict in (HOLDS, DOES_NOT_HOLD, CANNOT_TELL)}


def study_result(study: Study, artifact: Artifact, is_synthetic: bool) -> dg.MaterializeResult:
    """What a person sees of it in Dagster: the picture first."""
    verdicts, figures = read_claims(artifact.path), read_figures(artifact.path)
    return materialized(
        artifact,
        [of_this_figure(verdicts)],
        figure=picture(artifact.path / NARROW_PICTURE, f"{study.paper}: {study.description}"),
        claims=said_to_be(claims_table(verdicts), is_synthetic),
        numbers=said_to_be(numbers_table(figures), is_synthetic),
        mlflow_run=dg.MetadataValue.url(artifact.summary["mlflow_url"]),
    )


def of_this_figure(verdicts: Sequence[Judged]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=CHECK,
        passed=all(one.verdict == HOLDS for one in verdicts),
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(f"{one.claim.name}: {one.verdict}" for one in verdicts),
    )


def claims_table(verdicts: Sequence[Judged]) -> dg.MarkdownMetadataValue:
    return markdown_table(
        ["claim", "paper", "here", "numbers"],
        [[one.claim.statement, one.claim.paper, one.verdict, one.numbers] for one in verdicts],
    )


def numbers_table(figures: Sequence[Figure]) -> dg.MarkdownMetadataValue:
    return markdown_table(
        ["panel", "series", "at", "value", "95 % interval", "n", "measured from", "note"],
        [
            [
                point.panel or "-",
                point.series,
                point.x,
                "-" if point.value is None else point.value,
                "-" if point.low is None or point.high is None else f"{point.low:.3f} - {point.high:.3f}",
                "-" if point.n is None else point.n,
                point.source,
                point.note or "-",
            ]
            for figure in figures
            for point in figure.points
        ],
    )


def claims(settings: Settings) -> dg.AssetsDefinition:
    analyses = [study.name for study in ANALYSES]

    @dg.asset(
        name=CLAIMS,
        deps=[*(study.name for study in STUDIES), *families.assets_read(settings, analyses)],
        group_name=GROUP,
        owners=RESEARCH_OWNER,
        kinds={"polars"},
        description="Every finding of the paper: whether it holds, does not hold, or cannot be told on this hospital. "
        + (SYNTHETIC if settings.is_synthetic else ""),
        check_specs=[
            dg.AssetCheckSpec(
                question.claim.name,
                asset=CLAIMS,
                description=f"{question.claim.paper}: {question.claim.statement} Decided by: {question.claim.statistic}.",
            )
            for study in (*STUDIES, *ANALYSES)
            for question in study.questions
        ],
    )
    def _claims(context: dg.AssetExecutionContext, store: ArtifactStore, tracking: Tracking) -> dg.MaterializeResult:
        found = families.found_for(store, settings, analyses)
        held = studied.studied_of(store, settings, found)
        made = {study.name: store.find(f"study/{study.name}") for study in STUDIES}
        behind = [
            name for name, item in made.items() if item is not None and not families.is_of_these_inputs(store, item)
        ]
        if behind:
            # Their verdicts are of models that are gone, or lack a claim that was added since.
            context.log.warning(f"Made of what is no longer there, and left out: {', '.join(behind)}. Make them again.")
            made |= dict.fromkeys(behind)
        inputs = [*inputs_of(found), *(item for item in made.values() if item is not None)]
        if not inputs:
            raise dg.Failure("No study was made yet: materialize the group 'study' first.", allow_retries=False)

        def make(work: Path) -> dict[str, Any]:
            verdicts = [*gathered(made), *(one for study in ANALYSES for one in judged(study, held))]
            with tracking.run(
                context,
                experiment="study",
                name=CLAIMS,
                work=work,
                params={"profile": settings.name, "part": "study"},
                inputs=inputs,
            ) as run:
                write_claims(verdicts, work)
                run.log_values({f"claims/{verdict}": float(count) for verdict, count in counted(verdicts).items()})
                run.log_file(work / CLAIMS_FILE)
            return {**counted(verdicts), "mlflow_run_id": run.run_id, "mlflow_url": run.url}

        artifact = store.build(
            CLAIMS,
            make,
            inputs=inputs,
            parameters=parameters(settings, held.bases, held.missing),
            code=CODE,
            on_wait=context.log.warning,
        )
        verdicts = read_claims(artifact.path)
        return materialized(
            artifact,
            [of_claim(one) for one in verdicts],
            claims=said_to_be(claims_table(verdicts), settings.is_synthetic),
            mlflow_run=dg.MetadataValue.url(artifact.summary["mlflow_url"]),
        )

    return _claims


def gathered(made: dict[str, Artifact | None]) -> Iterator[Judged]:
    """What each study found; of one that was not made, that nothing can be told."""
    for study in STUDIES:
        artifact = made[study.name]
        known = {} if artifact is None else {one.claim.name: one for one in read_claims(artifact.path)}
        # A claim that was added to the code since the study was made is not judged.
        yield from (known.get(one.claim.name, one) for one in unjudged(study))


def of_claim(one: Judged) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=one.claim.name,
        passed=one.verdict == HOLDS,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{one.verdict}: {one.numbers}",
        metadata={"study": one.figure, "paper": one.claim.paper, "details": dg.MetadataValue.json(list(one.details))},
    )
