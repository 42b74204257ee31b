"""A landing area as a folder and as an object store, and when what lies in it is whole."""

import json
import os
import uuid
from datetime import date
from pathlib import Path

import fsspec
import pytest

from lang1_assets.ops.landing.area import LandingArea
from lang1_assets.ops.landing.arrivals import Arrival, Settling, arrivals, manifest_of, read, written
from lang1_assets.ops.landing.manifest import MANIFEST_FILE, LandingError, write_manifest

EARLIEST = date(2025, 1, 1)


def land(folder: Path, month: str, text: str = "a\n", manifest: bool = True) -> Path:
    (folder / month).mkdir(parents=True, exist_ok=True)
    (folder / month / "notes.csv").write_text(text)
    if manifest:
        write_manifest(folder / month, month)
    return folder / month


def look(
    folder: Path, seen: dict[str, Arrival] | None = None, now: float = 0, taken: dict[str, str] | None = None
) -> dict[str, Arrival]:
    return arrivals(LandingArea.of(str(folder)), taken or {}, seen or {}, Settling(now=now, seconds=600), EARLIEST)


def test_only_months_from_the_earliest_on(tmp_path: Path) -> None:
    land(tmp_path, "2025-02")
    for name in ("2024-12", "lost+found", "2025-13", "9999-12", ".2025-03.partial"):
        land(tmp_path, name, manifest=False)
    (tmp_path / "2025-04").mkdir()
    (tmp_path / "2025-05").write_text("a file")
    assert list(look(tmp_path)) == ["2025-02"]
    assert look(tmp_path / "nothing") == {}


def test_a_manifest_that_is_fulfilled_is_taken_at_once(tmp_path: Path) -> None:
    land(tmp_path, "2025-02")
    found = look(tmp_path)["2025-02"]
    assert (found.waiting_for, found.problem, found.covers_until) == (None, None, "2025-03-01")


def test_without_a_manifest_when_nothing_has_changed_for_a_while(tmp_path: Path) -> None:
    land(tmp_path, "2025-02", manifest=False)
    first = look(tmp_path, now=0)
    assert "no manifest.json" in (first["2025-02"].waiting_for or "")
    second = look(tmp_path, first, now=599)
    assert second["2025-02"].waiting_for
    land(tmp_path, "2025-02", text="a\nb\n", manifest=False)
    third = look(tmp_path, second, now=700)
    assert third["2025-02"].waiting_for, "it has changed, so the clock starts anew"
    fourth = look(tmp_path, third, now=1300)
    assert (fourth["2025-02"].waiting_for, fourth["2025-02"].problem) == (None, None)


def test_a_file_that_keeps_its_old_time_still_has_to_settle(tmp_path: Path) -> None:
    """`rsync -a` sets the time of the original."""
    land(tmp_path, "2025-02", manifest=False)
    first = look(tmp_path, now=0)
    path = tmp_path / "2025-02" / "notes.csv"
    stamp = path.stat().st_mtime_ns
    path.write_text("b\n")
    os.utime(path, ns=(stamp, stamp))
    assert look(tmp_path, first, now=600)["2025-02"].waiting_for


@pytest.mark.parametrize("missing", ["short", "gone", "half a manifest"])
def test_a_manifest_that_is_not_fulfilled_waits_and_is_refused_when_it_stays_so(tmp_path: Path, missing: str) -> None:
    folder = land(tmp_path, "2025-02", text="a note\n")
    if missing == "short":
        (folder / "notes.csv").write_text("a n")
    elif missing == "gone":
        (folder / "notes.csv").unlink()
    else:
        (folder / MANIFEST_FILE).write_text('{"files": [')
    first = look(tmp_path, now=0)
    assert first["2025-02"].waiting_for
    assert first["2025-02"].problem is None
    late = look(tmp_path, first, now=600)["2025-02"]
    assert late.waiting_for is None
    said = {"short": "field 'bytes' is 7, found 3", "gone": "found no file", "half a manifest": "not JSON"}[missing]
    assert said in (late.problem or "")
    # And when it is mended, it is taken.
    land(tmp_path, "2025-02", text="a note\n")
    assert look(tmp_path, {"2025-02": late}, now=601)["2025-02"].content


def test_what_was_taken_and_what_was_seen_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    land(tmp_path, "2025-02")
    land(tmp_path, "2025-03")
    seen = look(tmp_path)
    reads: list[str] = []
    monkeypatch.setattr(LandingArea, "read_manifest", lambda self, month: reads.append(month))
    monkeypatch.setattr(LandingArea, "_copy", lambda self, month, *rest: reads.append(month))
    again = look(tmp_path, seen, now=9, taken={"2025-02": seen["2025-02"].listing})
    assert list(again) == ["2025-03"]
    assert again["2025-03"] == seen["2025-03"]
    assert reads == []


def test_the_same_content_written_again_has_the_same_key(tmp_path: Path) -> None:
    land(tmp_path, "2025-02")
    first = look(tmp_path)["2025-02"]
    land(tmp_path, "2025-02")
    second = look(tmp_path)["2025-02"]
    assert first.listing != second.listing
    assert first.key == second.key
    land(tmp_path, "2025-02", text="corrected\n")
    assert look(tmp_path)["2025-02"].key != first.key


def test_the_cursor_keeps_what_was_seen(tmp_path: Path) -> None:
    land(tmp_path, "2025-02")
    land(tmp_path, "2025-03", manifest=False)
    seen = look(tmp_path)
    assert read(written(seen)) == seen
    assert read(None) == read("nonsense") == read('{"2025-02": 3}') == {}


def test_links_lead_out_of_the_area(tmp_path: Path) -> None:
    outside = tmp_path / "secret.csv"
    outside.write_text("a\n")
    folder = land(tmp_path / "landing", "2025-02", manifest=False)
    (folder / "encounters.csv").symlink_to(outside)
    (listing,) = LandingArea.of(str(tmp_path / "landing")).listings().values()
    assert list(listing.sizes) == ["notes.csv"]


def test_fetching_checks_every_byte(tmp_path: Path) -> None:
    folder = land(tmp_path, "2025-02", text="a note\n")
    area = LandingArea.of(str(tmp_path))
    listing = area.listings()["2025-02"]
    manifest = manifest_of(area, listing)
    area.fetch("2025-02", manifest.files, tmp_path / "whole")
    assert (tmp_path / "whole" / "notes.csv").read_text() == "a note\n"
    (folder / "notes.csv").write_text("b note\n")
    with pytest.raises(LandingError, match=r"2025-02/notes\.csv: field 'sha256'") as error:
        area.fetch("2025-02", manifest.files, tmp_path / "half")
    assert "b note" not in str(error.value)
    assert list((tmp_path / "half").iterdir()) == []
    (folder / "notes.csv").write_text("b note, and more\n")
    with pytest.raises(LandingError, match="expected 7 bytes, found 17"):
        area.fetch("2025-02", manifest.files, tmp_path / "half")
    (folder / "notes.csv").unlink()
    with pytest.raises(LandingError, match="the file is missing"):
        area.fetch("2025-02", manifest.files, tmp_path / "half")


def test_without_a_manifest_the_content_is_what_a_manifest_would_say(tmp_path: Path) -> None:
    land(tmp_path / "one", "2025-02", manifest=False)
    folder = land(tmp_path / "other", "2025-02")
    area = LandingArea.of(str(tmp_path / "one"))
    found = manifest_of(area, area.listings()["2025-02"])
    assert found.content == write_manifest(folder, "2025-02").content


def test_an_object_store_lands_as_a_folder_does(tmp_path: Path) -> None:
    place = f"memory://{uuid.uuid4().hex}"
    local = land(tmp_path, "2025-02", text="a note\n")
    (local / "hosp").mkdir()
    (local / "hosp" / "codes.csv").write_text("c\n")
    write_manifest(local, "2025-02")
    files, root = fsspec.core.url_to_fs(place)
    for path in sorted(local.rglob("*.*")):
        files.pipe_file(f"{root}/2025-02/{path.relative_to(local).as_posix()}", path.read_bytes())
    area = LandingArea.of(place)
    found = arrivals(area, {}, {}, Settling(now=0, seconds=600), EARLIEST)["2025-02"]
    assert found.content == look(tmp_path)["2025-02"].content
    listing = area.listings("2025-02")["2025-02"]
    area.fetch("2025-02", manifest_of(area, listing).files, tmp_path / "fetched")
    assert (tmp_path / "fetched" / "hosp" / "codes.csv").read_text() == "c\n"
    files.pipe_file(f"{root}/2025-02/notes.csv", b"another\n")
    assert area.listings("2025-02")["2025-02"].digest != listing.digest


def test_those_who_look_once_a_month_go_by_the_times(tmp_path: Path) -> None:
    land(tmp_path, "2025-02", manifest=False)
    written_at = (tmp_path / "2025-02" / "notes.csv").stat().st_ctime
    area = LandingArea.of(str(tmp_path))
    for later, waits in ((599, True), (601, False)):
        settling = Settling(now=written_at + later, seconds=600, trust_times=True)
        found = arrivals(area, {}, {}, settling, EARLIEST)["2025-02"]
        assert (found.waiting_for is not None) is waits


def test_a_manifest_lists_what_is_fetched(tmp_path: Path) -> None:
    folder = land(tmp_path, "2025-02")
    (folder / "extra.csv").write_text("not in the manifest\n")
    area = LandingArea.of(str(tmp_path))
    manifest = manifest_of(area, area.listings()["2025-02"])
    assert [file.name for file in manifest.files] == ["notes.csv"]
    assert json.loads((folder / MANIFEST_FILE).read_text())["month"] == "2025-02"
