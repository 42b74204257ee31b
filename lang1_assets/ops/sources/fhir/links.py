"""Links between the resources of a FHIR export, on disk."""

from __future__ import annotations

import sqlite3
from pathlib import Path


class Links:
    """Ids by ids, on disk: an export may have more resources than memory holds."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        # Nothing here outlives the run.
        self._database.executescript("pragma journal_mode = off; pragma synchronous = off; pragma cache_size = -65536")
        self._database.execute(
            "create table links (kind text, id text, value text, primary key (kind, id)) without rowid"
        )
        self._database.execute("begin")

    def __enter__(self) -> Links:
        return self

    def __exit__(self, *error: object) -> None:
        self._database.close()

    def put(self, kind: str, key: str, value: str) -> None:
        """The last value of a key stays."""
        self._database.execute("insert or replace into links values (?, ?, ?)", (kind, key, value))

    def get(self, kind: str, key: str) -> str | None:
        found = self._database.execute("select value from links where kind = ? and id = ?", (kind, key)).fetchone()
        return found[0] if found else None
