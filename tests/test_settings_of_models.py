from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from lang1_assets.ops.served.model import ServedModel
from lang1_assets.settings import PROFILE_FOLDER, Settings, SettingsError, load_settings

URL = "http://127.0.0.1:8000/v1"


def settings_with(folder: Path, models: str) -> Settings:
    path = folder / "mine.yaml"
    path.write_text(f"extends: {PROFILE_FOLDER}/tiny.yaml\nmodels:\n  m: {models}\n")
    return load_settings(str(path))


def test_every_kind_with_paths_beside_the_profile(tmp_path: Path) -> None:
    for kind, fields, absolute in (
        ("folder", "path: llama", {"path": "llama"}),
        ("adapter", "path: lora, base: llama", {"path": "lora", "base": "llama"}),
        ("untrained", "profile: lang1-100m", {}),
        ("completions", f"url: '{URL}', name: x, tokenizer: tok", {"tokenizer": "tok"}),
        ("chat", f"url: '{URL}', name: x, api_key_file: key", {"api_key_file": "key"}),
    ):
        model: Any = settings_with(tmp_path, f"{{kind: {kind}, {fields}}}").models["m"]
        assert model.kind == kind
        for name, value in absolute.items():
            assert getattr(model, name) == tmp_path / value


def test_there_are_none_unless_named() -> None:
    assert load_settings("lang1-1b").models == {}


def test_what_the_operations_are_given(tmp_path: Path) -> None:
    fields = (
        "kind: completions, url: 'https://gpu-7.hospital:8000/v1', name: x, allowed_addresses: ['gpu-7.hospital:8000'], "
        "max_concurrent: 3, extra: {top_k: 0}"
    )
    served: Any = settings_with(tmp_path, f"{{{fields}}}").models["m"]
    model = served.served_model
    assert (model.api, model.url, model.name) == ("completions", "https://gpu-7.hospital:8000/v1", "x")
    assert (model.allowed_addresses, model.max_concurrent, model.extra) == (("gpu-7.hospital:8000",), 3, {"top_k": 0})


def test_defaults_are_said_once(tmp_path: Path) -> None:
    """The operations' defaults and the profile's are the same, but for the instruction that only a profile has."""
    served: Any = settings_with(tmp_path, f"{{kind: chat, url: '{URL}', name: x, instruction: null}}").models["m"]
    assert asdict(served.served_model) == asdict(ServedModel(api="chat", url=URL, name="x"))


def test_comorbidity_is_asked_greedily(tmp_path: Path) -> None:
    model: Any = settings_with(tmp_path, f"{{kind: chat, url: '{URL}', name: x, num_samples: 4}}").models["m"]
    usual, greedy = model.sampling("mortality"), model.sampling("comorbidity")
    assert (usual.num_samples, usual.temperature, usual.max_examples) == (4, 1.0, 1_000)
    assert (greedy.num_samples, greedy.temperature, greedy.max_examples) == (1, 0.0, 10_000)


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ("kind: gpt, url: x", "models.m: .*'gpt'"),
        ("kind: folder", "models.m.path: missing"),
        (f"kind: chat, url: '{URL}', nam: x", "models.m.nam: unknown setting; did you mean 'name'"),
        (f"kind: chat, url: '{URL}', name: x, api_key: sk-1", "models.m.api_key: unknown setting"),
        ("kind: chat, url: 'ftp://x', name: x", "models.m.url: .*http://HOST:PORT/v1"),
        ("kind: chat, url: 'http://gpu-7:8000/v1', name: x", "gpu-7:8000 is not an allowed address"),
        ("kind: chat, url: 'http://127.0.0.1.evil.com/v1', name: x", "127.0.0.1.evil.com:80 is not an allowed address"),
        (f"kind: chat, url: '{URL}', name: x, proxy: 'http://proxy:3128'", "proxy:3128 is not an allowed address"),
        (f"kind: chat, url: '{URL}', name: x, allowed_addresses: ['gpu-7']", "give host:port"),
        (f"kind: chat, url: '{URL}', name: x, api_key_variable: K, api_key_file: k", "are both given"),
        (f"kind: chat, url: '{URL}', name: x, temperature: 0", "models.m.temperature"),
        ("kind: untrained, profile: nosuch", "no profile 'nosuch'"),
    ],
)
def test_what_cannot_be(tmp_path: Path, fields: str, part: str) -> None:
    with pytest.raises(SettingsError, match=part):
        settings_with(tmp_path, f"{{{fields}}}")


@pytest.mark.parametrize(
    "fields",
    [
        "kind: chat, name: x, url: 'https://joe:hunter2@gpu-7:8000/v1'",
        "kind: chat, name: x, url: 'ftp://joe:hunter2@gpu-7'",
        "kind: chat, name: x, url: 'joe:hunter2@gpu-7/v1'",
        f"kind: chat, url: '{URL}', name: x, proxy: 'http://joe:a@b/hunter2@proxy:3128'",
        f"kind: chat, url: '{URL}', name: x, allowed_addresses: ['http://joe:hunter2@gpu-7:8000']",
        f"kind: chat, url: '{URL}', name: x, allowed_addresses: 'http://joe:hunter2@gpu-7:8000'",
        "kind: chat, name: x, url: 'https://joe:hunter2@gpu-7:8000/v1' url: no YAML",
    ],
)
def test_a_password_in_a_url_is_not_shown(tmp_path: Path, fields: str) -> None:
    with pytest.raises(SettingsError) as error:
        settings_with(tmp_path, f"{{{fields}}}")
    assert "hunter2" not in str(error.value)
    assert "joe" not in str(error.value)
    assert "@gpu-7" in str(error.value) or "@proxy" in str(error.value)


def test_names_are_partitions_and_no_variant_has_them(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    variant = load_settings("tiny").main_variant
    for name, part in (("a,b", "models"), (variant, "a variant has the same name")):
        path.write_text(f"extends: {PROFILE_FOLDER}/tiny.yaml\nmodels: {{'{name}': {{kind: folder, path: x}}}}\n")
        with pytest.raises(SettingsError, match=part):
            load_settings(str(path))


def test_the_profile_of_an_untrained_model_lies_beside_the_one_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = tmp_path / "shapes"
    shapes.mkdir()
    (shapes / "small.yaml").write_text("extends: tiny\nname: small\n")
    # Not the working folder's file of the same name.
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    model: Any = settings_with(tmp_path, "{kind: untrained, profile: shapes/small.yaml}").models["m"]
    assert model.profile == str(shapes / "small.yaml")
    named: Any = settings_with(tmp_path, "{kind: untrained, profile: lang1-100m}").models["m"]
    assert named.profile == "lang1-100m"
    with pytest.raises(SettingsError, match=f"no profile '{tmp_path}/nosuch.yaml'"):
        settings_with(tmp_path, "{kind: untrained, profile: nosuch.yaml}")


def test_an_inherited_model_is_changed_by_field_and_replaced_by_kind(tmp_path: Path) -> None:
    first = f"{{kind: chat, url: '{URL}', name: x, extra: {{top_k: 1, seed: 2}}}}"
    assert settings_with(tmp_path, first).models["m"].kind == "chat"

    def inherited(changes: str) -> Any:
        (tmp_path / "ours.yaml").write_text(f"extends: mine.yaml\nname: ours\nmodels:\n  m: {changes}\n  n: {first}\n")
        models = load_settings(str(tmp_path / "ours.yaml")).models
        assert {"m", "n"} <= set(models)
        return models["m"]

    changed = inherited("{num_samples: 3, extra: {top_k: 5}}")
    assert (changed.kind, changed.name, changed.num_samples) == ("chat", "x", 3)
    assert changed.extra == {"top_k": 5, "seed": 2}
    assert inherited("{kind: folder, path: llama}").path == tmp_path / "llama"
    again = inherited(f"{{kind: chat, url: '{URL}', name: y}}")
    assert (again.name, again.extra) == ("y", {})
