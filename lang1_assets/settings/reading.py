"""Profile files: found, merged, validated, and every problem in one explained."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from lang1_assets.ops.served.addresses import without_passwords
from lang1_assets.settings.checkpoint import shape_from_checkpoint
from lang1_assets.settings.models import MODEL_KINDS, PATH_FIELDS
from lang1_assets.settings.profile import Settings
from lang1_assets.settings.training import Variant

PROFILE_FOLDER = Path(__file__).parent.parent / "profiles"
PROFILE_SUFFIXES = (".yaml", ".yml")


class SettingsError(ValueError):
    """A profile cannot be used; the message lists every problem found in it."""


def lang1_home() -> Path:
    """Everything a run makes lies here: `$LANG1_HOME`, or `lang1_home` in the current folder."""
    return Path(os.environ.get("LANG1_HOME", "lang1_home")).resolve()


def profile_path(name_or_path: str) -> Path:
    """The file of a profile: a path, or the name of one that ships with the project, a source's part included."""
    if name_or_path.endswith(PROFILE_SUFFIXES):
        return Path(name_or_path).resolve()
    part = PROFILE_FOLDER / "sources" / f"{name_or_path}.yaml"
    return part if part.exists() else PROFILE_FOLDER / f"{name_or_path}.yaml"


def load_settings(name_or_path: str | None = None) -> Settings:
    """Read and validate a profile; without an argument, the one that `$LANG1_PROFILE` names, else `tiny`.

    Raises:
        SettingsError: the file is missing, is not YAML, or holds problems; all of them are listed.
    """
    path = profile_path(name_or_path or os.environ.get("LANG1_PROFILE", "tiny"))
    # `study: null` drops what a profile extends: the defaults then hold.
    values = {key: value for key, value in _read_profile(path, seen=()).items() if value is not None}
    problems = shape_from_checkpoint(values)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        problems += [without_passwords(_explain_one(item)) for item in error.errors(include_url=False)]
    if problems:
        raise SettingsError(f"{path}: {len(problems)} problem(s)\n" + "\n".join(f"  - {text}" for text in problems))
    return settings


def _read_profile(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path in seen:
        raise SettingsError(f"{path}: 'extends' leads back to itself; remove it from one of the files")
    try:
        values = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        shipped = ", ".join(sorted(file.stem for file in PROFILE_FOLDER.rglob("*.yaml")))
        raise SettingsError(f"{path}: no such profile; give a path ending in .yaml or one of: {shipped}") from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(f"{path}: not a readable YAML file: {without_passwords(str(error))}") from None
    if not isinstance(values, dict):
        raise SettingsError(f"{path}: expected a mapping of settings, found {type(values).__name__}")
    _absolute_paths(values, path.parent)
    parents = values.pop("extends", None) or []
    if not isinstance(parents, (str, list)):
        raise SettingsError(f"{path}: extends: expected profiles' names or paths, found {type(parents).__name__}")
    merged: dict[str, Any] = {}
    for parent in [parents] if isinstance(parents, str) else parents:
        if not isinstance(parent, str):
            raise SettingsError(f"{path}: extends: expected profiles' names or paths, found {type(parent).__name__}")
        base = (path.parent / parent).resolve() if parent.endswith(PROFILE_SUFFIXES) else profile_path(parent)
        merged = _merge(merged, _read_profile(base, (*seen, path)))
    return _merge(merged, values)


def _absolute_paths(values: dict[str, Any], folder: Path) -> None:
    sources = values.get("text_sources")
    named = {f"text_sources.{name}": held for name, held in sources.items()} if isinstance(sources, dict) else {}
    models = values.get("models")
    outside = {f"models.{name}": held for name, held in models.items()} if isinstance(models, dict) else {}
    variants = values.get("variants")
    bases = {f"variants.{name}": held for name, held in variants.items()} if isinstance(variants, dict) else {}
    for section, field in (
        ("source", "path"),
        ("source", "remittances"),
        ("web_text", "path"),
        ("tokenizer", "path"),
        ("operate", "landing"),
        ("launch", "hostfile"),
        ("launch", "slurm_script"),
        ("pretrain", "start_from"),
        *((name, "path") for name in named),
        *((name, "folder") for name in bases),
        *((name, field) for name in outside for field in PATH_FIELDS),
    ):
        held = (values | named | outside | bases).get(section)
        if isinstance(held, dict) and isinstance(held.get(field), str) and "://" not in held[field]:
            held[field] = _absolute(held[field], folder)
    for held in outside.values():
        # A profile's name is no path.
        if isinstance(held, dict) and str(held.get("profile")).endswith(PROFILE_SUFFIXES):
            held["profile"] = _absolute(held["profile"], folder)
    if str(values.get("elsewhere")).endswith(PROFILE_SUFFIXES):
        values["elsewhere"] = _absolute(values["elsewhere"], folder)
    if isinstance(values.get("tasks_folder"), str):
        values["tasks_folder"] = _absolute(values["tasks_folder"], folder)
    web_text = values.get("web_text")
    if isinstance(web_text, dict) and isinstance(web_text.get("question_files"), list):
        files = web_text["question_files"]
        web_text["question_files"] = [_absolute(file, folder) if isinstance(file, str) else file for file in files]


def _absolute(path: str, folder: Path) -> str:
    return str((folder / Path(path).expanduser()).resolve())


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Nested mappings are merged; `variants`, an outside model that gives its `kind`, and anything else is replaced whole."""
    merged = dict(base)
    if isinstance(changes.get("source"), dict) and "kind" in changes["source"]:
        # Other records are another hospital: what is elsewhere to the one that was extended says nothing of them.
        merged.pop("elsewhere", None)
    if isinstance(changes.get("variants"), dict) and isinstance(base.get("study"), dict):
        merged["study"] = _of_kept_variants(base["study"], changes["variants"])
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict) and key != "variants"
        merged[key] = _merge(_kept(key, merged[key], value), value) if both else value
    return merged


def _of_kept_variants(study: dict[str, Any], variants: dict[str, Any]) -> dict[str, Any]:
    """An inherited study without the variants that a profile has replaced."""
    cells = {"finetuned", "scaled"}
    return {
        name: {key: held for key, held in value.items() if key in variants}
        if name in cells and isinstance(value, dict)
        else value
        for name, value in study.items()
    }


def _kept(section: str, base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """What of an inherited section the changes are merged into: the fields of one kind of model mean nothing to another."""
    if section != "models":
        return base
    replaced = {name for name, model in changes.items() if isinstance(model, dict) and "kind" in model}
    return {name: model for name, model in base.items() if name not in replaced}


def _explain_one(item: Any) -> str:
    # The kind of an outside model stands behind its name there, and is no field.
    written = item["loc"] if item["loc"][:1] != ("models",) else (*item["loc"][:2], *item["loc"][3:])
    where = ".".join(str(part) for part in written) or "profile"
    if item["type"] == "extra_forbidden":
        known = _fields_at(item["loc"][:-1])
        close = difflib.get_close_matches(str(item["loc"][-1]), known, n=1)
        return f"{where}: unknown setting" + (f"; did you mean '{close[0]}'?" if close else f"; known: {known}")
    if item["type"] == "missing":
        return f"{where}: missing; it has no default"
    message = item["msg"].removeprefix("Value error, ")
    return (
        f"{where}: {message} (found {item['input']!r})"
        if not isinstance(item["input"], dict)
        else f"{where}: {message}"
    )


def _fields_at(location: tuple[Any, ...]) -> list[str]:
    if location[:1] == ("models",) and len(location) == 3:
        return sorted(MODEL_KINDS[location[2]].model_fields)
    model: Any = Settings
    for part in location:
        field = model.model_fields.get(part) if hasattr(model, "model_fields") else None
        model = field.annotation if field else next((a for a in get_args(model) if hasattr(a, "model_fields")), Variant)
    return sorted(getattr(model, "model_fields", {}))
