"""Chains for tests."""

from pathlib import Path
from typing import Any

from lang1_assets.ops.audit.attempts import Place, record
from lang1_assets.ops.audit.entries import Entry, Row, from_line
from lang1_assets.ops.audit.files import CHAIN_FILE

KEY = b"k" * 32


def entry(name: str = "corpus", **values: Any) -> Entry:
    known: dict[str, Any] = {"event": "materialized", "user": "tester", "profile": "tiny", "fingerprint": "f" * 16}
    return Entry(**{**known, "artifact": name, "asset": name.split("/")[0], **values})


def chain_of(folder: Path, num_rows: int, key: bytes | None = None) -> list[Row]:
    return [record(folder, [entry(f"asset/{number}")], key)[0] for number in range(num_rows)]


def lines(folder: Path) -> list[bytes]:
    return (folder / CHAIN_FILE).read_bytes().splitlines(keepends=True)


def rows(folder: Path) -> list[Row]:
    return [from_line(line[:-1]) for line in lines(folder)]


def place(store: Path, name: str) -> Place:
    return Place(manifest=store / name / "artifact.json", lock=store / f"{name}.lock")
