import contextlib
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.landing.manifest import (
    MANIFEST_FILE,
    LandingError,
    is_inside,
    read_manifest,
    write_manifest,
)

SUM = "0" * 64


def manifest(**changes: Any) -> bytes:
    values = {"files": [{"name": "notes.csv", "bytes": 3, "sha256": SUM}]} | changes
    return json.dumps(values).encode()


def export(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text)
    return folder


def test_what_is_written_is_read(tmp_path: Path) -> None:
    folder = export(tmp_path / "2025-02", notes="a\n", stays="b\n")
    (folder / "hosp").mkdir()
    (folder / "hosp" / "codes.csv").write_text("c\n")
    written = write_manifest(folder, "2025-02")
    found = read_manifest((folder / MANIFEST_FILE).read_bytes(), "2025-02")
    assert found == written
    assert [file.name for file in found.files] == ["hosp/codes.csv", "notes.csv", "stays.csv"]
    assert found.covers_until == date(2025, 3, 1)
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def test_content_is_of_names_and_bytes_and_nothing_else(tmp_path: Path) -> None:
    first = write_manifest(export(tmp_path / "2025-02", notes="a\n", stays="b\n"), "2025-02")
    same = write_manifest(export(tmp_path / "2025-03", stays="b\n", notes="a\n"), "2025-03")
    swapped = write_manifest(export(tmp_path / "2025-04", notes="b\n", stays="a\n"), "2025-04")
    assert first.content == same.content != swapped.content


def test_what_may_be_left_out() -> None:
    found = read_manifest(manifest(), "2024-02")
    assert found.covers_until == date(2024, 3, 1)
    assert read_manifest(manifest(covers_until="2024-04-15", month="2024-02"), "2024-02").covers_until.day == 15


def test_a_month_that_is_yet_to_come_ends_with_itself() -> None:
    """So are those of the embedded hospital."""
    assert read_manifest(manifest(month="2525-02"), "2525-02").covers_until == date(2525, 3, 1)
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    assert read_manifest(manifest(covers_until=str(tomorrow)), "2025-02").covers_until == tomorrow


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"files": ' + b"9" * 5_000 + b"}", "not JSON"),
        (b"[]", "found list"),
        (manifest(files=[]), "field 'files' is not a list"),
        (manifest(files=[{"name": "a.csv"}]), "files[0] is not an object of"),
        (manifest(files=[{"name": "../a.csv", "bytes": 1, "sha256": SUM}]), "files[0].name"),
        (manifest(files=[{"name": "a.csv", "bytes": -1, "sha256": SUM}]), "files[0].bytes"),
        (manifest(files=[{"name": "a.csv", "bytes": True, "sha256": SUM}]), "files[0].bytes"),
        (manifest(files=[{"name": "a.csv", "bytes": 1, "sha256": "abc"}]), "files[0].sha256"),
        (manifest(files=[{"name": "a.csv", "bytes": 1, "sha256": SUM}] * 2), "'a.csv' stands there twice"),
        (manifest(month="2025-03"), "field 'month' is '2025-03', but the folder is 2025-02"),
        (manifest(covers_until="soon"), "field 'covers_until' is 'soon'"),
        (manifest(covers_until=20250301), "field 'covers_until' is 20250301"),
        (manifest(covers_until="2025-02-01"), "expected a day after 2025-02-01"),
        (manifest(covers_until="2525-03-01"), "'covers_until' is 2525-03-01, which is yet to come"),
        (manifest(fiels=[]), "unknown field 'fiels'"),
    ],
)
def test_a_wrong_manifest_is_named_by_its_field(data: bytes, said: str) -> None:
    with pytest.raises(LandingError) as error:
        read_manifest(data, "2025-02")
    assert said in str(error.value)
    assert f"2025-02/{MANIFEST_FILE}" in str(error.value)


def test_every_problem_at_once() -> None:
    with pytest.raises(LandingError, match=r"month.*covers_until.*files\[0\]"):
        read_manifest(manifest(month="2025-03", covers_until="soon", files=[{}]), "2025-02")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(LandingError):
        read_manifest(data, "2025-02")


@given(st.text(max_size=30))
def test_a_name_that_is_let_through_stays_inside(name: str) -> None:
    folder = Path("/landing/2025-02")
    if is_inside(name):
        inside = (folder / name).resolve()
        assert folder in inside.parents
        assert inside.relative_to(folder).as_posix() == name


@pytest.mark.parametrize("name", ["a/../b", "./a", "a//b", "a/", "", ".", "a\\b", "a\nb", "/a", "..", MANIFEST_FILE])
def test_names_that_lead_elsewhere(name: str) -> None:
    assert not is_inside(name)
