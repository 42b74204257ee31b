"""Saved comparisons in MLflow: which base, which recipe, on which test (M64).

A view of MLflow is a search with columns and an order, kept in a tag of the experiment: it shows whatever runs there are when a
person opens it. The form of the tag is that of MLflow 3.17's own "Save view".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lang1_assets.resources.tracked_names import CURRENT_TAG, EXPERIMENTS, MEAN_TASK, TESTS, TRAINING, of_test

if TYPE_CHECKING:
    from mlflow import MlflowClient

VIEW_TAG = "mlflow.sharedViewState."
NOTE_TAG = "mlflow.note.content"
MACHINE_LEARNING = "workflowType=machine_learning"
"""MLflow opens an experiment on its traces, which are of language models in use, unless its address says this."""
MAX_TAG_CHARACTERS = 5_000
"""MLflow's own limit."""
CALIBRATION = "ece"
COLUMN_WIDTH = 175
WHO = ("variant", "recipe")


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What a profile compares."""

    profile: str
    splits: tuple[str, ...]
    """The tests, the headline one last."""
    tasks: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class View:
    """A search with its columns and order."""

    key: str
    title: str
    part: str
    order_by: str
    """A metric; the best first."""
    params: tuple[str, ...]
    metrics: tuple[str, ...]
    is_ascending: bool = False

    def state(self, profile: str) -> dict[str, Any]:
        """As MLflow's page keeps it; widths in pixels, so that a column's title can be read."""
        columns = [f"params.`{name}`" for name in self.params] + [f"metrics.`{name}`" for name in self.metrics]
        search = f"params.profile = '{profile}' and params.part = '{self.part}' and tags.`{CURRENT_TAG}` = 'true'"
        return {
            "searchFilter": search,
            "orderByKey": f"metrics.`{self.order_by}`",
            "orderByAsc": self.is_ascending,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "datasetsFilter": [],
            "modelVersionFilter": "All Runs",
            "selectedColumns": columns,
            "columnOrder": columns,
            "columnWidths": dict.fromkeys(columns, COLUMN_WIDTH),
        }


def views_of(experiment: str, compared: Compared) -> list[View]:
    """The comparisons of one stage; none where there is nothing to compare."""
    if experiment == "evaluate":
        return list(test_views(compared))
    if experiment in ("finetune", "pretrain"):
        return [training_view(experiment)]
    return []


def test_views(compared: Compared) -> Iterator[View]:
    """AUROC on each test, the headline one first, and how well probabilities are calibrated there."""
    for split in reversed(compared.splits):
        yield test_view("auroc", f"AUROC on {split}", split, (MEAN_TASK, *compared.tasks))
    for split in compared.splits[-1:]:
        yield test_view(CALIBRATION, f"Calibration error on {split}", split, compared.tasks)


def test_view(metric: str, title: str, split: str, shown: Sequence[str]) -> View:
    return View(
        key=f"{metric}-{split}",
        title=f"{title}: which base, which recipe",
        part=TESTS,
        order_by=of_test(metric, shown[0], split),
        params=WHO,
        metrics=tuple(of_test(metric, task, split) for task in shown),
        is_ascending=metric == CALIBRATION,
    )


def training_view(experiment: str) -> View:
    if experiment == "pretrain":
        return View(
            key="pretraining",
            title="Pretrained models: validation loss",
            part=TRAINING,
            order_by="val/loss",
            params=("variant",),
            metrics=("val/loss", "train/loss"),
            is_ascending=True,
        )
    return View(
        key="finetuning",
        title="Finetuned models on validation: which base, which recipe",
        part=TRAINING,
        order_by="auroc_micro/all/val",
        params=(*WHO, "checkpoint"),
        metrics=("auroc_micro/all/val", "val/loss"),
    )


def view_id(profile: str, view: View) -> str:
    return f"{profile}-{view.key}"


def describe_experiment(
    client: MlflowClient, experiment_id: str, name: str, compared: Compared, *, is_synthetic: bool
) -> None:
    """What a person reads above the runs, with links to the views of every profile; written where it differs."""
    tags = dict(client.get_experiment(experiment_id).tags)
    whose = compared.profile + (", synthetic data" if is_synthetic else "")
    wanted: dict[str, str] = {}
    for view in views_of(name, compared):
        key = VIEW_TAG + view_id(compared.profile, view)
        wanted[key] = saved_view(f"{view.title} ({whose})", view, compared.profile)
    others = {key: tags[key] for key in sorted(tags) if key not in wanted}
    wanted[NOTE_TAG] = note_of(name, links(experiment_id, {**wanted, **others}))
    for key, value in wanted.items():
        if tags.get(key) != value:
            client.set_experiment_tag(experiment_id, key, value)


def note_of(name: str, found: Sequence[str]) -> str:
    """Markdown: first the links, since MLflow shows no more than the first lines, as many as a tag has room for."""
    shown = list(found)
    while len(note := "\n\n".join([*shown, EXPERIMENTS.get(name, "")])) > MAX_TAG_CHARACTERS:
        shown.pop()
    return note


def saved_view(title: str, view: View, profile: str) -> str:
    """A view as MLflow keeps it in a tag, with as many of its columns as the tag has room for."""
    for num_metrics in range(len(view.metrics), 0, -1):
        state = replace(view, metrics=view.metrics[:num_metrics]).state(profile)
        # Without a time of its own: the tag is compared with what is there, and written when it differs.
        kept = {"name": title, "createdAt": 0, "updatedAt": 0, "state": json.dumps(state, separators=(",", ":"))}
        value = json.dumps(kept, separators=(",", ":"))
        if len(value) <= MAX_TAG_CHARACTERS:
            break
    return value


def view_address(experiment_id: str, key: str) -> str:
    """Within MLflow's pages."""
    return f"#/experiments/{experiment_id}/runs?viewStateShareKey={key}&{MACHINE_LEARNING}"


def links(experiment_id: str, tags: Mapping[str, str]) -> list[str]:
    """One for each saved view in the order given, those that people saved themselves included."""
    found = []
    for key in tags:
        if key.startswith(VIEW_TAG):
            try:
                name = json.loads(tags[key])["name"]
            except (json.JSONDecodeError, KeyError, TypeError):
                # Shared by an earlier MLflow: it has no name to show.
                continue
            found.append(f"[{name}]({view_address(experiment_id, key.removeprefix(VIEW_TAG))})")
    return found
