"""Where a run takes place, what it starts from, and how long it is, as a profile says it."""

import json
from pathlib import Path
from typing import Any

import pytest

from lang1_assets.settings import PROFILE_FOLDER, SettingsError, load_settings

LLAMA = {
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": False,
    "rms_norm_eps": 1e-6,
    "vocab_size": 32_000,
}


def write(folder: Path, text: str, extends: str = "tiny.yaml") -> str:
    path = folder / "mine.yaml"
    path.write_text(f"extends: {PROFILE_FOLDER}/{extends}\nname: mine\n{text}")
    return str(path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("launch: {kind: hostfile}", "launch: kind 'hostfile' needs hostfile"),
        ("launch: {hostfile: hosts}", "launch: hostfile is given, but kind is 'local'"),
        ("launch: {kind: kubernetes}", "launch.kind"),
        ("launch: {master_port: 80}", "launch.master_port"),
        ("launch: {kind: slurm, slurm: {time_limit: tomorrow}}", "launch.slurm.time_limit"),
        ("launch: {kind: slurm, slurm: {nodes: 0}}", "launch.slurm.nodes"),
        ("launch: {kind: slurm, slurm: {partitoin: gpu}}", "did you mean 'partition'"),
    ],
)
def test_launches_that_cannot_be(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        load_settings(write(tmp_path, text))


@pytest.mark.parametrize("limit", ["90", "90:00", "12:00:00", "2-00:00:00", "2-00"])
def test_time_limits_as_slurm_writes_them(tmp_path: Path, limit: str) -> None:
    text = f"launch: {{kind: slurm, slurm: {{time_limit: '{limit}'}}}}"
    assert load_settings(write(tmp_path, text)).launch.slurm.time_limit == limit


def test_a_hostfile_lies_beside_the_profile_that_names_it(tmp_path: Path) -> None:
    launch = load_settings(write(tmp_path, "launch: {kind: hostfile, hostfile: hosts}")).launch
    assert launch.hostfile == tmp_path / "hosts"


def checkpoint(folder: Path, **changes: Any) -> None:
    (folder / "llama").mkdir(exist_ok=True)
    (folder / "llama" / "config.json").write_text(json.dumps({**LLAMA, **changes}))


STARTING = "tokenizer: {kind: path, path: llama}\npretrain: {start_from: llama}\n"


def test_the_shape_is_the_checkpoint_s(tmp_path: Path) -> None:
    checkpoint(tmp_path, num_key_value_heads=2)
    model = load_settings(write(tmp_path, STARTING + "model: null\n")).model
    assert (model.hidden_size, model.num_key_value_heads, model.context_length) == (256, 2, 2048)
    assert model.rms_norm_eps == 1e-6


def test_heads_that_a_config_leaves_out_are_as_many_as_the_queries_have(tmp_path: Path) -> None:
    checkpoint(tmp_path)
    assert load_settings(write(tmp_path, STARTING + "model: null\n")).model.num_key_value_heads == 8


def test_a_shorter_context_is_no_contradiction(tmp_path: Path) -> None:
    path = tmp_path / "part.yaml"
    path.write_text(f"extends: {PROFILE_FOLDER}/tiny.yaml\nname: part\nmodel: null\n")
    checkpoint(tmp_path)
    mine = tmp_path / "mine.yaml"
    mine.write_text(f"extends: part.yaml\nname: mine\n{STARTING}model: {{context_length: 512}}\n")
    assert load_settings(str(mine)).model.context_length == 512
    mine.write_text(f"extends: part.yaml\nname: mine\n{STARTING}model: {{context_length: 4096}}\n")
    with pytest.raises(SettingsError, match=r"model.context_length: the checkpoint has 2048"):
        load_settings(str(mine))


def test_every_contradiction_is_named_with_its_field(tmp_path: Path) -> None:
    checkpoint(tmp_path)
    with pytest.raises(SettingsError) as error:
        load_settings(write(tmp_path, STARTING + "pretrian: 3\n"))
    message = str(error.value)
    assert "model.hidden_size: the checkpoint has 256" in message
    assert "the profile 128; leave it out (or `model: null`" in message
    assert "model.num_hidden_layers: the checkpoint has 2" in message
    assert "pretrian: unknown setting; did you mean 'pretrain'?" in message
    # Random weights are not drawn, so their width contradicts nothing.
    assert "model.initializer_range" not in message


def test_a_folder_without_a_decoder_is_told(tmp_path: Path) -> None:
    (tmp_path / "llama").mkdir()
    with pytest.raises(SettingsError, match=r"pretrain.start_from: .*config.json is not readable"):
        load_settings(write(tmp_path, STARTING))
    (tmp_path / "llama" / "config.json").write_text('{"model_type": "t5", "d_model": 512}')
    with pytest.raises(SettingsError, match=r"has no hidden_size, .*expected a Llama-like decoder"):
        load_settings(write(tmp_path, STARTING))


def test_a_checkpoint_wants_its_own_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"start_from needs the checkpoint's own tokenizer, but tokenizer.kind is 'train'"
    ):
        load_settings(write(tmp_path, "pretrain: {start_from: llama}\n"))


def test_one_warmup(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"warmup_share 0.05 and warmup_steps 80 are both given"):
        load_settings(write(tmp_path, "pretrain: {warmup_share: 0.05}\n"))
    pretrain = load_settings(write(tmp_path, "pretrain: {warmup_share: 0.05, warmup_steps: 0}\n")).pretrain
    assert pretrain.warmup_share == 0.05


def test_a_length_is_a_number_of_steps_or_one_epoch(tmp_path: Path) -> None:
    assert load_settings(write(tmp_path, "pretrain: {max_steps: one_epoch}\n")).pretrain.max_steps == "one_epoch"
    with pytest.raises(SettingsError, match=r"pretrain.max_steps.*'two_epochs'"):
        load_settings(write(tmp_path, "pretrain: {max_steps: two_epochs}\n"))


def test_me_llama_follows_its_paper() -> None:
    settings = load_settings("me-llama")
    pretrain = settings.pretrain
    assert settings.variants[settings.main_variant].mixture == {"biomedical": 15, "notes_plus": 1, "web_text": 4}
    assert (pretrain.learning_rate, pretrain.min_learning_rate, pretrain.weight_decay) == (8e-6, 0.0, 1e-5)
    assert (pretrain.warmup_share, pretrain.warmup_steps, pretrain.max_steps) == (0.05, 0, "one_epoch")
    assert (pretrain.betas, pretrain.precision) == ((0.9, 0.95), "bf16")
    # 16 accumulations on 160 GPUs.
    assert pretrain.global_batch_size == 16 * 160 * pretrain.micro_batch_size
    assert pretrain.start_from == settings.tokenizer.path == Path.home() / "models" / "Llama-2-13b-hf"
    assert settings.web_text.kind == "slimpajama"
