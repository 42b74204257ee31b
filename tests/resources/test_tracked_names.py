"""The same names everywhere: every caller's, those of this list, and those that the documentation explains."""

import ast
from pathlib import Path

import pytest

from lang1_assets.resources import tracked_names
from lang1_assets.resources.tracked_names import EXPERIMENTS, METRICS, PARAMS, PARTS, TAGS, metric_name

ROOT = Path(__file__).parents[2]
DOCUMENTATION = (ROOT / "docs" / "mlflow.md").read_text()


def calls() -> list[tuple[str, ast.Call]]:
    """Where a run of MLflow is begun."""
    found = []
    for path in sorted((ROOT / "lang1_assets").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            is_method = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            if is_method and node.func.attr == "run" and "tracking" in ast.unparse(node.func.value):
                found.append((path.name, node))
    return found


def argument(call: ast.Call, name: str) -> ast.expr:
    return next(keyword.value for keyword in call.keywords if keyword.arg == name)


def literals(call: ast.Call) -> dict[str, ast.expr]:
    """The parameters that a caller writes down; others it takes over from somewhere (`**`)."""
    params = argument(call, "params")
    assert isinstance(params, ast.Dict)
    return {
        key.value: value for key, value in zip(params.keys, params.values, strict=True) if isinstance(key, ast.Constant)
    }


def value_of(node: ast.expr) -> str | None:
    """A text or a name of `tracked_names`."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    return getattr(tracked_names, node.id, None) if isinstance(node, ast.Name) else None


def test_there_are_callers_to_look_at() -> None:
    assert len(calls()) >= 10


@pytest.mark.parametrize(("where", "call"), calls(), ids=[f"{where}-{call.lineno}" for where, call in calls()])
def test_a_caller_uses_the_names_of_the_list(where: str, call: ast.Call) -> None:
    known = literals(call)
    assert set(known) <= set(PARAMS)
    assert {"profile", "part"} <= set(known)
    part = value_of(known["part"])
    # The evaluations of all kinds of models share one call.
    assert part in PARTS or ast.unparse(known["part"]) == "evaluation.part"
    experiment = argument(call, "experiment")
    assert value_of(experiment) in EXPERIMENTS or ast.unparse(experiment) in ("training.experiment", "NAME")


@pytest.mark.parametrize("names", [EXPERIMENTS, PARAMS, PARTS, TAGS, METRICS])
def test_the_documentation_explains_each(names: dict[str, str]) -> None:
    rows = [line for line in DOCUMENTATION.splitlines() if line.startswith("| ")]
    for name, meaning in names.items():
        shown = ", ".join(f"`{part}`" for part in name.split(", "))
        assert f"| {shown} | {meaning} |" in rows


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("val/auroc/readmission", "auroc/readmission/val"),
        ("auroc/readmission/val", "auroc/readmission/val"),
        ("val/auroc_micro", "auroc_micro/all/val"),
        ("val/loss", "val/loss"),
        ("train/loss", "train/loss"),
        ("ece/own task (ours)/test", "ece/own task _ours_/test"),
    ],
)
def test_a_metric_has_one_name(raw: str, name: str) -> None:
    assert metric_name(raw) == name
    assert metric_name(name) == name
