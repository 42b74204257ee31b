"""What must stay so: no code from outside is run, no name leads out of its folder, SQL takes values as values, and what could
break that is found by the linter the moment it is written."""

import ast
import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lang1_assets.resources.store import ArtifactError, ArtifactStore
from lang1_assets.settings import PROFILE_FOLDER, Settings, load_settings

PACKAGE = Path(__file__).parents[1] / "lang1_assets"
OWN_CHECKPOINTS = {"ops/training/checkpoints.py", "ops/training/reshaping.py"}
"""DeepSpeed's checkpoints are pickles: written by the run that reads them, in a folder that is its owner's alone."""
WEIGHTS = {"AutoModelForCausalLM", "AutoModelForMaskedLM", "AutoModelForSequenceClassification", "AutoModel"}


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Every call by its dotted name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def sources() -> list[tuple[str, ast.Module]]:
    return [(str(path.relative_to(PACKAGE)), ast.parse(path.read_text())) for path in sorted(PACKAGE.rglob("*.py"))]


def test_nothing_is_unpickled_but_a_run_s_own_checkpoints() -> None:
    forbidden = ("torch.load", "pickle.load", "pickle.loads", "joblib.load", "np.load", "numpy.load", "dill.load")
    loads = [(file, name) for file, tree in sources() for name, _ in calls(tree)]
    assert [found for found in loads if found[1] in forbidden] == []
    assert {file for file, name in loads if name.endswith(".load_checkpoint")} == OWN_CHECKPOINTS
    assert not [found for found in loads if found[1] in ("yaml.load", "eval", "exec", "os.system", "marshal.loads")]


def test_weights_are_read_from_safetensors_and_without_code_of_the_folder() -> None:
    found = 0
    for file, tree in sources():
        for name, call in calls(tree):
            if name.endswith(".from_pretrained") and (name.split(".")[0] in WEIGHTS or name == "kind.from_pretrained"):
                given_words = {word.arg: ast.unparse(word.value) for word in call.keywords}
                assert given_words.get("use_safetensors") == "True", file
                assert given_words.get("trust_remote_code") == "False", file
                found += 1
    assert found >= 2
    others = [
        (file, {word.arg: ast.unparse(word.value) for word in call.keywords}.get("trust_remote_code"))
        for file, tree in sources()
        for name, call in calls(tree)
        if name in ("AutoTokenizer.from_pretrained", "AutoConfig.from_pretrained")
    ]
    assert {value for _, value in others} == {"False"}, others
    asked = [
        (file, ast.unparse(word.value))
        for file, tree in sources()
        for _, call in calls(tree)
        for word in call.keywords
        if word.arg == "trust_remote_code"
    ]
    assert {value for _, value in asked} == {"False"}


class Evil:
    """Unpickled, it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth"])
def test_a_folder_of_pickles_is_refused_unread(tmp_path: Path, name: str) -> None:
    from lang1_assets.ops.outside_models import ModelError, open_folder

    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (tmp_path / name).write_bytes(pickle.dumps(Evil(tmp_path / "executed")))
    with pytest.raises(ModelError, match=r"no \.safetensors file; other formats can run code"):
        open_folder(tmp_path)
    assert not (tmp_path / "executed").exists()


def test_code_that_a_folder_brings_is_not_run(tmp_path: Path) -> None:
    """`auto_map` names a class in a module beside the weights; a tokenizer can do the same."""
    module = f"from pathlib import Path\nPath({str(tmp_path / 'executed')!r}).touch()\nclass Evil: pass\n"
    (tmp_path / "evil.py").write_text(module)
    named = {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil", "AutoTokenizer": ["evil.Evil", None]}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "evil", "auto_map": named}))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "Evil", "auto_map": named}))
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 16)
    opened = """
import sys
from pathlib import Path
from transformers import AutoTokenizer
from lang1_assets.ops.outside_models import open_folder
refused = 0
for opening in (open_folder, AutoTokenizer.from_pretrained):
    try:
        opening(Path(sys.argv[1]))
    except Exception:
        refused += 1
print("refused", refused)
"""
    done = subprocess.run(
        [sys.executable, "-c", opened, str(tmp_path)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert "refused 2" in done.stdout, done.stderr[-2000:]
    assert not (tmp_path / "executed").exists()


NAMES = st.one_of(
    st.text(max_size=20),
    st.from_regex(r"[./\\~a-z\x00\n-]{0,12}", fullmatch=True),
    st.sampled_from(["..", "../x", "/etc", "a/../../b", "a/..", ".", "", "~", "a\n", "a\0b", "CON", "-"]),
)


def is_inside(root: Path, path: Path) -> bool:
    return path.resolve().is_relative_to(root.resolve()) and "\0" not in str(path)


@given(NAMES)
def test_no_artifact_leads_out_of_the_store(name: str) -> None:
    root = Path("/srv/lang1/artifacts/ours")
    for artifact in (name, f"landed_export/{name}", f"predictions/{name}/small"):
        try:
            path = ArtifactStore(root=str(root)).path(artifact)
        except ArtifactError:
            continue
        assert is_inside(root, path), artifact


@pytest.fixture(scope="module")
def tiny() -> dict[str, Any]:
    return load_settings("tiny").model_dump()


@given(NAMES)
def test_no_name_of_a_profile_is_a_path(tiny: dict[str, Any], name: str) -> None:
    """Profiles, variants, text sources and models name folders."""
    variant = next(iter(tiny["variants"].values()))
    for changed in (
        {"name": name},
        {"variants": {name: variant}, "study": {}, "analyze": {}},
        {"text_sources": {name: {"path": "/text"}}},
        {"models": {name: {"kind": "folder", "path": "/model"}}},
    ):
        try:
            Settings.model_validate({**tiny, **changed})
        except ValidationError:
            continue
        assert name == Path(name).name, changed
        assert name not in ("", ".", "..")
        assert name.isprintable()


def test_a_profile_that_is_named_lies_among_those_that_ship() -> None:
    for path in PROFILE_FOLDER.rglob("*.yaml"):
        held = yaml.safe_load(path.read_text())
        for parent in (
            [held.get("extends") or []] if isinstance(held.get("extends"), str) else held.get("extends") or []
        ):
            assert "/" not in parent or (path.parent / parent).resolve().is_relative_to(PROFILE_FOLDER.resolve())


QUOTES = st.text(alphabet=st.sampled_from(list("a'\"; -\n\\$%{}é")), max_size=30)


@given(QUOTES)
def test_a_name_in_sql_is_one_name(name: str) -> None:
    """Relations of a hospital's server cannot be parameters: quoted, each is read back as it is."""
    from lang1_assets.ops.sources.server import _quoted

    with duckdb.connect() as database:
        (read,) = database.execute(f"select 1 as {_quoted(name or 'a')}").fetchdf().columns
    assert read == (name or "a")


@given(folder=QUOTES)
def test_a_folder_in_sql_is_one_folder(tmp_path_factory: pytest.TempPathFactory, folder: str) -> None:
    from lang1_assets.ops.own_cohorts import TABLES, read_tables

    place = tmp_path_factory.mktemp("tables") / (folder.replace("/", "") or "a")
    place.mkdir(exist_ok=True)
    columns = ("note_id", "encounter_id", "subject_id", "note_type", "department", "author_id", "written_time")
    notes = {name: ["1"] for name in (*columns, "narrative", "impression", "addendum")}
    pl.DataFrame(notes).write_parquet(place / "staged_notes.parquet")
    pl.DataFrame({"length_of_stay_days": [1], "encounter_id": ["1"]}).write_parquet(place / "encounters.parquet")
    for name in ("patients", "diagnoses"):
        pl.DataFrame({"subject_id": ["1"]}).write_parquet(place / f"{name}.parquet")
    if any(sign in folder for sign in "{}*?["):
        return
    with duckdb.connect() as database:
        read_tables(database, place)
        held = {name for (name,) in database.sql("select table_name from information_schema.tables").fetchall()}
    assert held == set(TABLES)


def test_sql_is_put_together_in_two_modules_alone() -> None:
    """A hospital's own query with its task's checked fields, and quoted names on its server. Everything else has parameters."""
    ruff = Path(sys.executable).with_name("ruff")
    command = [str(ruff), "check", str(PACKAGE), "--isolated", "--select", "S608", "--output-format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    places = {str(Path(found["filename"]).relative_to(PACKAGE)) for found in json.loads(done.stdout)}
    assert places == {"ops/own_cohorts.py", "ops/sources/server.py"}


def test_the_linter_watches_over_it() -> None:
    import tomllib

    rules = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]["select"]
    assert {"S301", "S302", "S307", "S506", "S602", "S605", "S501", "S113", "S202"} <= set(rules)
