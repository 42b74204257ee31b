import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from lang1_assets.ops.compiled_sql import CompiledSqlError, cohort_sql_sha256, write_compiled_sql


def manifest_of(folder: Path, **code: str | None) -> Path:
    """stay -> notes -> cohort_a, and cohort_b beside them; a test that is no model."""
    reads = {"cohort_a": ["notes"], "notes": ["stays"], "stays": [], "cohort_b": ["stays"]}
    nodes: dict[str, Any] = {
        f"model.p.{name}": {
            "name": name,
            "resource_type": "model",
            "compiled_code": code.get(name, f"select 1 -- {name}"),
            "depends_on": {"nodes": [f"model.p.{other}" for other in others] + ["source.p.raw"]},
        }
        for name, others in reads.items()
    }
    nodes["test.p.unique"] = {"name": "unique", "resource_type": "test", "depends_on": {"nodes": []}}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "manifest.json"
    path.write_text(json.dumps({"nodes": nodes}))
    return path


def hashes(folder: Path, places: dict[str, str] | None = None, **code: str | None) -> dict[str, str]:
    manifest = manifest_of(folder, **code)
    assert write_compiled_sql(manifest, folder / "sql", places or {}) == 4
    return {name: cohort_sql_sha256(manifest, folder / "sql", name) for name in ("cohort_a", "cohort_b")}


def test_the_sql_is_there_to_be_read_and_its_hash_is_that_of_all_that_it_reads(tmp_path: Path) -> None:
    found = hashes(tmp_path, notes="select * from 'x'\n\n")
    assert (tmp_path / "sql" / "notes.sql").read_text() == "select * from 'x'\n"
    parts = [("cohort_a", "select 1 -- cohort_a"), ("notes", "select * from 'x'"), ("stays", "select 1 -- stays")]
    text = "".join(f"-- {name}\n{sql}\n" for name, sql in parts)
    assert found["cohort_a"] == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("changed", "differ"), [("notes", {"cohort_a"}), ("stays", {"cohort_a", "cohort_b"}), ("cohort_b", {"cohort_b"})]
)
def test_a_change_anywhere_upstream_is_another_cohort(tmp_path: Path, changed: str, differ: set[str]) -> None:
    before, after = hashes(tmp_path / "1"), hashes(tmp_path / "2", **{changed: "select 2"})
    assert {name for name in before if before[name] != after[name]} == differ


def test_where_records_and_results_lie_is_no_part_of_the_question(tmp_path: Path) -> None:
    def placed(number: str, home: str) -> dict[str, str]:
        places = {home: "RECORDS", f"{home}/made": "RESULTS"}
        return hashes(tmp_path / number, places, stays=f"select * from '{home}/made/a' join '{home}/b'")

    assert placed("1", "/data/x") == placed("2", "/srv/hospital")
    assert "RESULTS/a' join 'RECORDS/b" in (tmp_path / "1" / "sql" / "stays.sql").read_text()


def test_a_manifest_that_was_only_parsed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CompiledSqlError, match="no compiled SQL of model notes"):
        hashes(tmp_path, notes=None)
