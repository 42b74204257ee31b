"""What the cohort SQL costs on ten million encounters of metadata, and how the cost per encounter grows.

Everything is read, judged, staged and labelled, as for a hospital's own Parquet tables; notes have no text (text is joined
last). Peer: pandas, doing the heart of one cohort alone (readmission labels by a self-join), on the same tables.

Run: `.venv/bin/python bench/cohorts.py [num_encounters]`. Writes `bench/results/cohorts.json` and `.md`.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from lang1_assets.ops.sources.layout import folder_layout

RESULTS = Path(__file__).parent / "results"
PROJECT = Path(__file__).parent.parent / "dbt_notes"
MAXIMUM_BYTES = 8 * 2**30
MAXIMUM_GROWTH = 1.2
DUCKDB_MEMORY = "6GB"

TABLES = {
    # Three admissions a person on average, over thirteen years.
    "patients": """
        select 'P' || i as subject_id, date '1930-01-01' + cast(hash(i) % 29000 as integer) as birth_date,
            case when i % 2 = 0 then 'F' else 'M' end as sex, 'White' as race, 'Not Hispanic' as ethnicity,
            'Queens' as borough
        from range({n} // 3) t(i)""",
    "encounters": """
        select 'E' || i as encounter_id, 'P' || (hash(i) % ({n} // 3)) as subject_id,
            timestamp '2012-01-01' + to_seconds(cast(hash(i, 1) % 410000000 as bigint)) as admit_time,
            admit_time + to_seconds(cast(3600 + hash(i, 2) % 900000 as bigint)) as discharge_time,
            'Medicine' as department, 'Emergency' as admission_type,
            case when hash(i, 3) % 50 = 0 then 'Expired' else 'Home' end as discharge_disposition
        from range({n}) t(i)""",
    "notes": """
        select kind || i as note_id, 'E' || i as encounter_id, 'P' || (hash(i) % ({n} // 3)) as subject_id,
            case when kind = 'H' then 'hp' else 'discharge' end as note_type,
            timestamp '2012-01-01' + to_seconds(cast(hash(i, 1) % 410000000
                + case when kind = 'H' then 3000 else 3000 + hash(i, 2) % 900000 end as bigint)) as written_time,
            'Medicine' as department, '' as narrative
        from range({n}) t(i), (values ('H'), ('D')) k(kind)""",
    "diagnoses": """
        select 'E' || i as encounter_id, 'P' || (hash(i) % ({n} // 3)) as subject_id, s as sequence_number,
            10 as icd_version, list_value('I10', 'E119', 'I509', 'J449', 'N189', 'C787', 'Z951', 'K219')
                [1 + cast(hash(i, s) % 8 as integer)] as icd_code
        from range({n}) t(i), range(1, 4) u(s)""",
    "claims": """
        select 'C' || i as claim_id, 'E' || i as encounter_id, case when hash(i, 4) % 8 = 0
            then 'final, adverse determination' else 'paid' end as status, timestamp '2022-01-01' as status_time
        from range({n}) t(i)""",
}


def write_tables(folder: Path, num_encounters: int) -> None:
    folder.mkdir()
    with duckdb.connect() as connection:
        connection.execute(f"set memory_limit = '{DUCKDB_MEMORY}'")
        for name, sql in TABLES.items():
            rows = sql.format(n=num_encounters)
            connection.execute(f"copy ({rows}) to '{folder / name}.parquet' (format parquet, compression zstd)")


def label(folder: Path, home: Path) -> dict[str, float]:
    """Seconds and peak memory of the one process that runs all models."""
    parquet = home / "parquet"
    parquet.mkdir(parents=True)
    layout = folder_layout(PROJECT, "tables", folder)
    variables = {"source_kind": "tables", "source_layout": layout.parts, "parquet_path": str(parquet)}
    environment = os.environ | {
        "LANG1_DUCKDB_PATH": str(home / "warehouse.duckdb"),
        "LANG1_DUCKDB_MEMORY": DUCKDB_MEMORY,
        "DBT_TARGET_PATH": str(home / "target"),
        "DBT_LOG_PATH": str(home / "logs"),
    }
    where = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT), "--vars", json.dumps(variables)]
    command = [
        str(Path(sys.executable).with_name("dbt")),
        "build",
        "--exclude-resource-type",
        "test",
        "unit_test",
        *where,
    ]
    return measured(command, environment)


def measured(command: list[str], environment: dict[str, str]) -> dict[str, float]:
    started = time.monotonic()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(output[-3000:])
    return {
        "seconds": time.monotonic() - started,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * 1024,
    }


PANDAS_PEER = """
import sys, pandas as pd
stays = pd.read_parquet(sys.argv[1], columns=["encounter_id", "subject_id", "admit_time", "discharge_time"])
pairs = stays.merge(stays[["subject_id", "admit_time"]], on="subject_id", suffixes=("", "_next"))
gap = pairs["admit_time_next"] - pairs["discharge_time"]
back = pairs.loc[(gap > pd.Timedelta(0)) & (gap <= pd.Timedelta(days=30)), "encounter_id"].unique()
print(len(back))
"""


def main() -> None:
    large = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    small = large // 10
    with tempfile.TemporaryDirectory(prefix="cohorts-", dir=os.environ.get("LANG1_BENCH_FOLDER")) as home:
        found: dict[str, Any] = {}
        for name, size in (("small", small), ("large", large)):
            folder = Path(home) / name
            write_tables(folder, size)
            found[name] = label(folder, Path(home) / f"{name}-run")
            print(name, found[name], flush=True)
        peer_command = [sys.executable, "-c", PANDAS_PEER, str(Path(home) / "large" / "encounters.parquet")]
        peer = measured(peer_command, dict(os.environ))
    write_results(large, small, found, peer)


def write_results(large: int, small: int, found: dict[str, Any], peer: dict[str, float]) -> None:
    per_encounter = {name: found[name]["seconds"] / size * 1e6 for name, size in (("small", small), ("large", large))}
    growth = per_encounter["large"] / per_encounter["small"]
    cpu_growth = found["large"]["cpu_seconds"] / found["small"]["cpu_seconds"] * small / large
    result = {
        "date": date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "duckdb_memory_limit": DUCKDB_MEMORY,
        "encounters": {"small": small, "large": large},
        "seconds": {name: round(found[name]["seconds"], 1) for name in found},
        "peak_bytes": {name: int(found[name]["peak_bytes"]) for name in found},
        "microseconds_per_encounter": {name: round(value, 1) for name, value in per_encounter.items()},
        "cpu_seconds": {name: round(found[name]["cpu_seconds"], 1) for name in found},
        "growth": round(growth, 3),
        "cpu_growth": round(cpu_growth, 3),
        "peer": {"what": "pandas, readmission labels alone", **peer},
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "cohorts.json").write_text(json.dumps(result, indent=2) + "\n")
    gib = 2**30
    rows = [
        f"| all five cohorts, {size:,} encounters | {found[name]['seconds']:,.0f} | {found[name]['cpu_seconds']:,.0f} | "
        f"{per_encounter[name]:.1f} | {found[name]['peak_bytes'] / gib:.2f} |"
        for name, size in (("small", small), ("large", large))
    ]
    lines = [
        "# cohorts",
        "",
        f"{result['date']}, {result['machine']}, DuckDB limited to {DUCKDB_MEMORY}. Metadata only: notes without text, "
        "two notes, three codes and one claim an encounter; from Parquet tables through every check to the cohorts.",
        "",
        "| what | seconds | CPU seconds | microseconds an encounter | peak memory, GiB |",
        "|---|---:|---:|---:|---:|",
        *rows,
        f"| pandas, readmission labels alone, {large:,} encounters | {peer['seconds']:,.0f} | {peer['cpu_seconds']:,.0f} | "
        f"{peer['seconds'] / large * 1e6:.1f} | {peer['peak_bytes'] / gib:.2f} |",
        "",
        f"Cost per encounter at ten times the size: {growth:.3f} times by the clock (bound: {MAXIMUM_GROWTH}), "
        f"{cpu_growth:.3f} times by CPU time. Bound of peak memory: {MAXIMUM_BYTES / gib:.0f} GiB.",
    ]
    (RESULTS / "cohorts.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
