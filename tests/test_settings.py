from pathlib import Path

import pytest

from lang1_assets.settings import PROFILE_FOLDER, SettingsError, load_settings


def write(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(f"extends: {PROFILE_FOLDER}/tiny.yaml\n{text}")
    return str(path)


@pytest.mark.parametrize("name", sorted(path.stem for path in PROFILE_FOLDER.glob("*.yaml")))
def test_shipped_profiles_are_valid(name: str) -> None:
    assert load_settings(name).name == name


def test_published_shapes() -> None:
    """Paper 5.3: smol_llama-101M, TinyLlama-1.1B, Llama-2-7B; context, batch and ZeRO stage."""
    found = {
        name: (s.model.hidden_size, s.model.context_length, s.pretrain.global_batch_size, s.pretrain.zero_stage)
        for name in ("lang1-100m", "lang1-1b", "lang1-7b")
        for s in [load_settings(name)]
    }
    assert found == {
        "lang1-100m": (768, 1024, 4096, 2),
        "lang1-1b": (2048, 2048, 1024, 2),
        "lang1-7b": (4096, 4096, 1024, 3),
    }


def test_recipe_of_the_paper() -> None:
    settings = load_settings("lang1-1b")
    pretrain, finetune = settings.pretrain, settings.finetune
    assert (pretrain.betas, pretrain.eps, pretrain.weight_decay, pretrain.gradient_clipping) == (
        (0.9, 0.95),
        1e-8,
        0.1,
        1,
    )
    assert (pretrain.warmup_steps, pretrain.min_learning_rate, settings.seed) == (2000, 4e-5, 3407)
    assert (finetune.betas, finetune.eps, finetune.weight_decay, finetune.gradient_clipping) == (
        (0.9, 0.999),
        1e-5,
        0.02,
        0,
    )
    assert (finetune.max_steps, finetune.patience_steps, finetune.note_tokens) == (5120, 300, 512)
    assert (finetune.search.num_trials, finetune.search.low, finetune.search.high) == (5, 1e-6, 1e-3)
    assert pretrain.max_steps * pretrain.global_batch_size * settings.model.context_length == pytest.approx(
        314.5e9, rel=1e-3
    )


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    bad = write(
        tmp_path,
        "name: bad\nsead: 3\nsource: {kind: csv}\nmodel: {num_attention_heads: 5}\n"
        "pretrain: {max_stepz: 3, learning_rate: -1, max_steps: hello}\n",
    )
    with pytest.raises(SettingsError) as error:
        load_settings(bad)
    message = str(error.value)
    assert bad in message
    for part in (
        "sead: unknown setting; did you mean 'seed'?",
        "pretrain.max_stepz: unknown setting; did you mean 'max_steps'?",
        "pretrain.learning_rate",
        "found 'hello'",
        "num_attention_heads 5",
        "needs path",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("finetune: {note_tokens: 320}", "leaves no room for the question"),
        ("variants: {'a,b': {mixture: {notes: 1}}}", "letters, digits"),
        ("variants: {a: {}}", "either a mixture"),
        ("variants: {a: {mixture: {notes: 1}, random_weights: true}}", "either a mixture"),
        ("pretrain: {warmup_steps: 4000}", "must be below max_steps"),
        ("finetune: {global_batch_size: 13}", "not a multiple"),
        ("finetune: {search: {low: 1.0, high: 0.1}}", "is above high"),
        ("web_text: {path: x}", "set kind: slimpajama"),
    ],
)
def test_impossible_values(tmp_path: Path, text: str, part: str) -> None:
    with pytest.raises(SettingsError, match=part):
        load_settings(write(tmp_path, text))


def test_missing_profile_names_the_ones_there_are() -> None:
    with pytest.raises(SettingsError, match="lang1-1b"):
        load_settings("nosuch")


def test_not_yaml(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("name: [")
    with pytest.raises(SettingsError, match="not a readable YAML"):
        load_settings(str(path))


def test_extends_cycle(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("extends: p.yaml\n")
    with pytest.raises(SettingsError, match="leads back to itself"):
        load_settings(str(path))


def test_relative_paths_belong_to_their_profile(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, "source: {kind: csv, path: tables}"))
    assert settings.source.path == tmp_path / "tables"


def test_variants_are_replaced_whole(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, "variants: {only: {mixture: {notes: 1}}}"))
    assert list(settings.variants) == ["only"]


def test_extends_takes_a_shipped_name_and_nothing_but_text(tmp_path: Path) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text("extends: tiny\nname: ours\n")
    assert load_settings(str(path)).model.hidden_size == load_settings("tiny").model.hidden_size
    path.write_text("extends: [tiny]\n")
    with pytest.raises(SettingsError, match="extends: expected one profile's name or path, found list"):
        load_settings(str(path))


def test_a_home_folder_in_a_path_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text("extends: tiny\nname: ours\nsource: {kind: csv, path: ~/exports}\n")
    assert load_settings(str(path)).source.path == Path.home() / "exports"
