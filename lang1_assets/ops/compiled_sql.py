"""The SQL that made the cohorts, as it was run: what a reviewer reads, and its hash in every evaluation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


class CompiledSqlError(ValueError):
    """dbt's manifest has no compiled SQL: the project was parsed, not built."""


def write_compiled_sql(manifest: Path, folder: Path, places: Mapping[str, str]) -> int:
    """One file `MODEL.sql` for each model of a finished `dbt build`; their number.

    Args:
        manifest: dbt's `manifest.json` after the build.
        places: text -> its name. Where records and results lie is no part of what was asked: the same question on another
            machine has the same hash.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = 0
    for node in models(manifest).values():
        (folder / f"{node['name']}.sql").write_text(named_places(node["compiled_code"], places) + "\n")
        written += 1
    return written


def cohort_sql_sha256(manifest: Path, folder: Path, model: str) -> str:
    """Hash of the written SQL of a model and of everything that it reads, in the order of their names."""
    known = models(manifest)
    start = next(key for key, node in known.items() if node["name"] == model)
    names = sorted({known[key]["name"] for key in upstream(known, start)})
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"-- {name}\n{(folder / f'{name}.sql').read_text()}".encode())
    return digest.hexdigest()


def models(manifest: Path) -> dict[str, dict[str, Any]]:
    """Enabled models by dbt's key.

    Raises:
        CompiledSqlError: one of them has not been compiled.
    """
    nodes = json.loads(manifest.read_text())["nodes"]
    found = {key: node for key, node in nodes.items() if node["resource_type"] == "model"}
    for node in found.values():
        if not node.get("compiled_code"):
            raise CompiledSqlError(
                f"{manifest}: no compiled SQL of model {node['name']}; expected the manifest of a dbt build"
            )
    return found


def upstream(known: Mapping[str, dict[str, Any]], start: str) -> Iterator[str]:
    """`start` and every model that it depends on; some more than once."""
    yield start
    for key in known[start]["depends_on"]["nodes"]:
        if key in known:
            yield from upstream(known, key)


def named_places(sql: str, places: Mapping[str, str]) -> str:
    # The longest first: one place may lie in another.
    for text in sorted(places, key=len, reverse=True):
        sql = sql.replace(text, places[text])
    return sql.strip()
