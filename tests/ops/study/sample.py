"""Figures of every kind with made-up numbers, in the forms that the studies give them."""

import numpy as np

from lang1_assets.ops.study.figure import Figure, Kind, Point

TASKS = ("Readmission", "In-hospital mortality", "Length of stay", "Comorbidity", "Insurance denial")


def figure_of(name: str, kind: Kind, points: list[Point], **values) -> Figure:
    defaults = {
        "paper": "Fig. 2",
        "title": f"The {name} of it",
        "caption": "Made up.",
        "x_title": "x",
        "y_title": "AUROC",
    }
    return Figure(**{**defaults, **values, "name": name, "kind": kind, "points": tuple(points)})


def point(series, x, value, panel="", spread=0.04, n=300, **values) -> Point:
    ends = {} if value is None else {"low": value - spread, "high": value + spread}
    return Point(
        **{"series": series, "x": x, "value": value, "panel": panel, "n": n, "source": "a/b", **ends, **values}
    )


def bars() -> Figure:
    rng = np.random.default_rng(1)
    models = ("Lang1 1B, finetuned", "Lang1 100M, finetuned", "Bag of words", "Qwen zero-shot")
    points = [
        point(model, model, 0.85 - 0.1 * k + rng.normal() * 0.03, task)
        for task in TASKS
        for k, model in enumerate(models)
    ]
    points[7] = point(models[3], models[3], None, TASKS[1], note="not scored")
    return figure_of(
        "finetuned_comparison", "bars", points, x_title="model", chance=0.5, title="Finetuning beats zero-shot"
    )


def grouped_bars() -> Figure:
    years = ("test", "2021", "2024")
    points = [
        point(mode, year, 0.8 - 0.03 * k - 0.1 * m, task)
        for task in TASKS
        for m, mode in enumerate(("joint", "single task"))
        for k, year in enumerate(years)
    ]
    return figure_of("temporal_decay", "bars", points, x_title="test set", chance=0.5)


def lines() -> Figure:
    points = [
        point(f"{budget} tokens", notes, 0.5 + 0.05 * np.log10(notes + 1) + 0.02 * k, task)
        for task in TASKS[:2]
        for k, budget in enumerate(("0", "1M", "4M"))
        for notes in (0, 100, 300, 1000, 3000, 10_000)
    ]
    return figure_of("data_efficiency", "lines", points, x_title="labeled notes", chance=0.5, x_is_log=True)


def band() -> Figure:
    points = [point("all", k * 1e5, 0.5 + 0.02 * k, spread=0.05) for k in range(14)]
    return figure_of("emergence", "lines", points, x_title="tokens seen", y_title="accuracy", chance=0.25)


def reliability() -> Figure:
    points = [
        point(mode, k / 10 + 0.05, min(0.95, k / 10 + 0.02 + 0.1 * m), task, spread=0.03)
        for task in TASKS
        for m, mode in enumerate(("zero-shot", "joint"))
        for k in range(10)
    ]
    return figure_of("calibration", "lines", points, x_title="predicted probability", y_title="observed frequency")


def scatter() -> Figure:
    points = [
        point(task, 3.0 - 1.2 * k + 0.2 * t, 0.52 + 0.2 * k + 0.02 * t) for t, task in enumerate(TASKS) for k in (0, 1)
    ]
    return figure_of("answer_perplexity_study", "scatter", points, x_title="perplexity of the answer", chance=0.5)


def heatmap(low: float = 0.5) -> Figure:
    points = [point(a, b, low + 0.08 * ((i + j) % 5)) for i, a in enumerate(TASKS) for j, b in enumerate(TASKS)]
    points[3] = point(TASKS[0], TASKS[3], None)
    return figure_of("transfer", "heatmap", points, x_title="tested on", chance=0.5 if low >= 0 else None)


def zero_shot_of_many_models() -> Figure:
    """As Fig. 2a: categories are tasks, and a dozen models are told apart."""
    points = [
        point(f"lang1-tiny-{name}-{k}", task, 0.48 + 0.01 * k)
        for task in TASKS
        for k, name in enumerate(("notes", "web") * 4)
    ]
    return figure_of("zero_shot_comparison", "bars", points, x_title="task", chance=0.5, title="Zero-shot models")


def every_figure() -> list[Figure]:
    return [bars(), grouped_bars(), lines(), band(), reliability(), scatter(), heatmap(), heatmap(low=-0.15)]
