"""Records to labelled notes as a person runs it, with a word planted into every note of one patient, and secrets around it:
what holds notes is its owner's alone, no secret is written anywhere, and once the patient is forgotten nobody finds a word."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from tests.test_whole_path import contents

PROFILE = Path(__file__).parents[1] / "profiles" / "mini.yaml"
REPOSITORY = Path(__file__).parents[2]
SECRETS = {
    name: f"secret-of-{name.lower().replace('_', '-')}"
    for name in (
        "LANG1_SLACK_WEBHOOK",
        "LANG1_SMTP_PASSWORD",
        "LANG1_SMTP_USER",
        "LANG1_POSTGRES_URL",
        "LANG1_POSTGRES_PASSWORD",
        "OPENAI_API_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "MLFLOW_TRACKING_PASSWORD",
    )
}
PLANT = """
import os, sys
from pathlib import Path
os.umask(0o077)
from lang1_assets.corpus import extract
import dagster as dg, json, polars as pl
from lang1_assets.ops.schemas import NARRATIVE_FIELDS
from lang1_assets.resources.store import ArtifactStore
from lang1_assets.settings import lang1_home, load_settings
settings = load_settings()
store = ArtifactStore(root=str(lang1_home() / "artifacts" / settings.name))
assert dg.materialize([extract.hospital_exports(settings)], resources={"store": store}).success
folder = store.get("hospital_exports").path
person = pl.concat([pl.read_csv(file, infer_schema=False, columns=["subject_id"]) for file in folder.glob("notes-*.csv")]
    )["subject_id"].drop_nulls().mode().sort()[0]
for file in folder.glob("notes-*.csv"):
    notes = pl.read_csv(file, infer_schema=False)
    planted = [pl.when(pl.col("subject_id") == person).then(pl.concat_str(pl.col(field).fill_null("some"), pl.lit(" zqplanted")))
        .otherwise(pl.col(field)).alias(field) for field in NARRATIVE_FIELDS]
    notes.with_columns(planted).write_csv(file)
manifest = json.loads((folder / "artifact.json").read_text())
manifest["files"] = {name: (folder / name).stat().st_size for name in manifest["files"]}
(folder / "artifact.json").write_text(json.dumps(manifest))
print(person)
"""
WORD = b"zqplanted"


class Hospital:
    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir(mode=0o700)
        profile = folder / "small.yaml"
        profile.write_text(f"extends: {PROFILE}\nname: small\nsource: {{num_encounters: 1500}}\n")
        left_out = {"DAGSTER_HOME", "LANG1_DUCKDB_PATH", "LANG1_POSTGRES_WORK_SCHEMA"}
        kept = {name: value for name, value in os.environ.items() if name not in left_out}

        self.environment = {**kept, **SECRETS, "LANG1_HOME": str(self.home), "LANG1_PROFILE": str(profile)}
        self.environment["TMPDIR"] = str(self.home / "tmp")
        (self.home / "tmp").mkdir(mode=0o700)
        self.person = self.run("-c", PLANT).strip().splitlines()[-1]
        self.output = self.lang1("cohorts")

    def run(self, *words: str) -> str:
        # A shell's usual mask: what is private is so by itself.
        done = subprocess.run(
            [sys.executable, *words],
            env=self.environment,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
            umask=0o022,
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
        return done.stdout + done.stderr if words[0] != "-c" else done.stdout

    def lang1(self, *words: str) -> str:
        return self.run("-m", "lang1_assets.cli", *words)

    @property
    def files(self) -> list[Path]:
        return [path for path in self.home.rglob("*") if path.is_file() and not path.is_symlink()]

    def holding(self, word: bytes) -> set[str]:
        return {str(path.relative_to(self.home)) for path in self.files if word in contents(path)}

    def table(self, name: str) -> pl.DataFrame:
        return pl.read_parquet(self.home / "artifacts" / "small" / name)


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    return Hospital(tmp_path_factory.mktemp("hospital"))


def test_what_a_run_writes_is_its_owner_s_alone(hospital: Hospital) -> None:
    open_to_others = [
        str(path.relative_to(hospital.home))
        for path in hospital.home.rglob("*")
        if not path.is_symlink() and stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    assert open_to_others == []
    assert any(path.suffix == ".duckdb" for path in hospital.files)
    assert any(path.name == "runs.db" for path in hospital.files)


def test_no_secret_of_the_environment_is_written_anywhere(hospital: Hospital) -> None:
    for name, secret in SECRETS.items():
        assert hospital.holding(secret.encode()) == set(), name
        assert secret not in hospital.output, name


def test_forgotten_and_run_again_nobody_finds_a_word(hospital: Hospital) -> None:
    held = hospital.holding(WORD)
    for place in (
        "hospital_exports/notes-",
        "warehouse/staged_notes",
        "clean_notes/notes/",
        "mortality_examples/examples",
    ):
        assert any(place in path for path in held), place
    before = hospital.table("clean_notes/notes/part-00000.parquet")
    ids = hospital.home / "tmp" / "ids"
    ids.write_text(hospital.person)
    told = hospital.lang1("forget", "--file", str(ids))
    ids.unlink()
    assert hospital.person not in told
    assert hospital.holding(WORD) == set()
    assert {path.split("/")[0] for path in hospital.holding(hospital.person.encode())} == {"forgotten"}
    hospital.lang1("cohorts")
    assert hospital.holding(WORD) == set()
    assert {path.split("/")[0] for path in hospital.holding(hospital.person.encode())} == {"forgotten"}
    after = hospital.table("clean_notes/notes/part-00000.parquet")
    others = before.filter(pl.col("subject_id") != hospital.person)
    # Not a note of anybody else is missing or changed.
    assert after.sort("note_id").equals(others.sort("note_id"))
    assert len(after) < len(before)
