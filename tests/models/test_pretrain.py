"""The pretraining asset: what its job is given, and what it shows of a checkpoint that it goes on from."""

import json
from pathlib import Path

import dagster as dg
import pytest

from lang1_assets.definitions import build_definitions
from lang1_assets.models import pretrain
from lang1_assets.settings import PROFILE_FOLDER, Settings, load_settings

CONFIG = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 512,
}


@pytest.fixture
def starting(tmp_path: Path) -> Settings:
    folder = tmp_path / "llama"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "model.safetensors").write_bytes(b"weights")
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"extends: {PROFILE_FOLDER}/tiny.yaml\nname: mine\nmodel: null\ntokenizer: {{kind: path, path: llama}}\n"
        "pretrain: {start_from: llama}\nvariants: {a: {mixture: {notes: 1}}, b: {random_weights: true}}\n"
    )
    return load_settings(str(path))


def test_the_checkpoint_is_in_the_lineage(starting: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG1_HOME", str(tmp_path / "home"))
    graph = build_definitions(starting).resolve_asset_graph()
    node = graph.get(dg.AssetKey(pretrain.STARTING_CHECKPOINT))
    assert dg.AssetKey("pretrained_model") in node.child_keys
    assert all([node.description, node.owners, node.kinds])
    assert node.metadata["path"].value == str(starting.pretrain.start_from)


def test_without_a_checkpoint_the_lineage_has_none() -> None:
    assert [type(asset) for asset in pretrain.build_assets(load_settings("tiny"))] == [dg.AssetsDefinition]


def observed(settings: Settings, key: str) -> tuple[str | None, list[str]]:
    found: list[str | None] = []

    @dg.asset(partitions_def=dg.StaticPartitionsDefinition(list(settings.variants)))
    def probe(context: dg.AssetExecutionContext) -> None:
        found.append(pretrain.observed_start(context, settings))

    result = dg.materialize([probe], partition_key=key)
    return found[0], [event.asset_key.to_user_string() for event in result.get_asset_observation_events()]  # type: ignore[union-attr]


def test_its_hash_is_observed_and_changes_with_the_weights(starting: Settings) -> None:
    before, events = observed(starting, "a")
    assert before is not None
    assert events == [pretrain.STARTING_CHECKPOINT]
    assert starting.pretrain.start_from is not None
    (starting.pretrain.start_from / "model.safetensors").write_bytes(b"Weights")
    assert observed(starting, "a")[0] not in {None, before}


def test_the_control_with_random_weights_starts_from_nothing(starting: Settings) -> None:
    assert observed(starting, "b") == (None, [])


def test_a_checkpoint_that_is_gone_is_told_and_not_tried_again(starting: Settings) -> None:
    assert starting.pretrain.start_from is not None
    (starting.pretrain.start_from / "model.safetensors").unlink()
    with pytest.raises(dg.Failure, match=r"start_from .*expected a Hugging Face folder") as error:
        observed(starting, "a")
    assert error.value.allow_retries is False


def with_pretrain(**changes: object) -> Settings:
    settings = load_settings("tiny")
    return settings.model_copy(update={"pretrain": settings.pretrain.model_copy(update=changes)})


def test_a_share_of_the_steps_is_warmup() -> None:
    """Rounded up, as the Trainer of transformers does, with which 5 % were published."""
    settings = with_pretrain(max_steps=101, warmup_share=0.05, warmup_steps=0)
    assert pretrain.run_length(settings, "lang1-tiny-notes", {}) == {"max_steps": 101, "warmup_steps": 6}
    settings = with_pretrain(max_steps=101, warmup_steps=7)
    assert pretrain.run_length(settings, "lang1-tiny-notes", {}) == {"max_steps": 101, "warmup_steps": 7}


def test_the_control_takes_no_step_of_its_epoch() -> None:
    settings = with_pretrain(max_steps="one_epoch", warmup_steps=0)
    assert pretrain.run_length(settings, "lang1-tiny-random", {})["max_steps"] == 0
