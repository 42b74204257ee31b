"""What an auditor sees in the terminal."""

import argparse
import io
import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from lang1_assets.cli.audit import add_audit_command
from lang1_assets.ops.audit.files import CHAIN_FILE
from lang1_assets.resources import audit
from lang1_assets.settings import load_settings
from tests.ops.audit.chains import lines, rows
from tests.resources.test_audit import asset_of, store


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home where two assets were materialized."""
    home = tmp_path_factory.mktemp("home")
    (home / "dagster").mkdir()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("DAGSTER_HOME", str(home / "dagster"))
        with dg.DagsterInstance.get() as instance:
            for name in ("corpus", "report"):
                dg.materialize([asset_of(name)], resources={"store": store(home)}, instance=instance)
    return home


@pytest.fixture
def home(made: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same home for each test, as it was when it was made."""
    monkeypatch.setenv("LANG1_HOME", str(made))
    monkeypatch.setenv("DAGSTER_HOME", str(made / "dagster"))
    before = {
        path: path.read_bytes() for path in [*made.glob("audit/audit.*"), *made.glob("artifacts/**/artifact.json")]
    }
    yield made
    for path, content in before.items():
        path.write_bytes(content)


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    add_audit_command(parser.add_subparsers(required=True))
    arguments = parser.parse_args(["audit", *words])
    return int(arguments.command(load_settings("tiny"), arguments))


def test_a_whole_audit(home: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run("verify") == 0
    said = capfdbinary.readouterr().out.decode()
    assert "audit.jsonl: 2 rows" in said
    assert "held against 2 rows that were written down elsewhere" in said
    assert "The chain is whole." in said
    assert run("export", "--asset", "report") == 0
    (line,) = capfdbinary.readouterr().out.splitlines(keepends=True)
    assert line == lines(home / "audit")[1]


def test_a_tail_that_was_cut_off_with_its_head(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Dagster's database tells, where somebody who writes the audit's folder cannot write."""
    first = rows(home / "audit")[0]
    (home / "audit" / CHAIN_FILE).write_bytes(lines(home / "audit")[0])
    (home / "audit" / "audit.head").write_text(json.dumps({"sequence": 1, "hash": first["hash"]}))
    assert run("verify") == 1
    said = capfd.readouterr().out
    assert "PROBLEM: row 2 is missing; Dagster (asset report, run " in said
    assert "1 artifacts have no row" in said


def test_an_artifact_that_was_changed_without_the_audit(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    manifest = home / "artifacts" / "tiny" / "corpus" / "artifact.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "fingerprint": "0" * 16}))
    assert run("verify") == 1
    assert "PROBLEM: tiny corpus: its manifest has fingerprint 0000000000000000" in capfd.readouterr().out


def test_an_exported_copy_and_a_row_that_was_written_down(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    copy = home / "copy.jsonl"
    copy.write_bytes(b"".join(lines(home / "audit")))
    second = rows(home / "audit")[1]
    assert run("verify", str(copy), "--anchor", f"2:{second['hash']}") == 0
    copy.write_bytes(lines(home / "audit")[0])
    assert run("verify", str(copy)) == 0
    assert run("verify", str(copy), "--anchor", f"2:{second['hash']}") == 1
    assert "row 2 is missing; --anchor tells of it" in capfd.readouterr().out
    with pytest.raises(SystemExit, match="expected a row's number and hash"):
        run("verify", "--anchor", "two")
    with pytest.raises(SystemExit, match="No such file"):
        run("verify", str(home / "none"))


def test_whether_a_patient_was_forgotten(
    home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = {"subjects": ["subject-4711"], "removed": [], "renamed": [], "models": []}
    audit.record_forgotten(home / "audit", request)
    for subject_id, found in (("subject-4711", 1), ("subject-4712", 0)):
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{subject_id}\n"))
        assert run("export", "--patient") == 0
        assert len(capfd.readouterr().out.splitlines()) == found
