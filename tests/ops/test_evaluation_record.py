import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lang1_assets.ops.evaluation_record import model_sha256, prompts_used, surroundings, task_used, values_sha256
from lang1_assets.ops.tasks import TASKS


def test_a_prompts_hash_is_that_of_lengths_and_bytes() -> None:
    expected = hashlib.sha256((1).to_bytes(8, "little") + b"a" + (2).to_bytes(8, "little") + b"bc").hexdigest()
    assert prompts_used("t", "s", [b"a", b"bc"]) == {"task": "t", "split": "s", "num": 2, "sha256": expected}
    assert prompts_used("t", "s", [b"ab", b"c"])["sha256"] != expected


@pytest.mark.parametrize(
    "changed", [{"question": "Will it rain?"}, {"options": ("no", "perhaps")}, {"version": 2}, {"note_type": "hp"}]
)
def test_another_question_is_another_definition(changed: dict[str, object]) -> None:
    task = TASKS["readmission"]
    before = task_used(task, "sql", "examples")
    assert before == task_used(replace(task), "sql", "examples")
    assert task_used(replace(task, **changed), "sql", "examples") != before


def test_a_models_hash_is_that_of_its_weights_and_configuration(model_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(model_folder, copy)
    assert model_sha256([copy]) == model_sha256([model_folder])
    (copy / "README.md").write_text("words")
    assert model_sha256([copy]) == model_sha256([model_folder])
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-4}))
    assert model_sha256([copy]) != model_sha256([model_folder])
    weights = next(model_folder.glob("*.safetensors"))
    shutil.copyfile(model_folder / "config.json", copy / "config.json")
    (copy / weights.name).write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert model_sha256([copy]) != model_sha256([model_folder])


def test_what_stands_for_weights_and_what_is_around() -> None:
    assert values_sha256({"a": 1, "b": 2}) == values_sha256({"b": 2, "a": 1}) != values_sha256({"a": 1})
    assert set(surroundings()) == {
        "python",
        "torch",
        "transformers",
        "tokenizers",
        "numpy",
        "polars",
        "device",
        "precision",
    }
