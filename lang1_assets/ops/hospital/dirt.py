"""The dirt of real exports, planted and counted.

Rows that labels depend on are never spoiled in place: broken encounters, codes and claims are added rows with ids of
their own. Texts are spoiled in place, as they are in life.
"""

from __future__ import annotations

import numpy as np
import polars as pl

PLACEHOLDERS = ("<NA>", "NULL", "[pending]")
TWO_WORDS = ("see chart", "note pending", "as above", "dictation error", "not done")
IMPOSSIBLE_DATES = ("2021-02-30", "1890-06-15", "2999-12-31", "2019-13-01")
# What a UTF-8 text looks like after it was read as Windows-1252, and punctuation that plain ASCII lacks.
MOJIBAKE = ("patientâ€™s", "cafÃ©", "38.2 Â°C", "naÃ¯ve", "â€œstableâ€\x9d")
CONTROL_CHARACTERS = ("\x07", "\x0b", "\x1b[0m", "\x08", "\x0c")
PUNCTUATION = ("\u2019", "\u2014", "\u2026", "\u201cstable\u201d", "\u00b5g", "\u2265")
QUOTED = ('\nPatient states: "I feel fine, thanks"\n', '\n"See, above"\n', '\r\nRN said "ok"\r\n')

NOTE_TEXT_KINDS = (
    "placeholder",
    "two_words",
    "mojibake",
    "control_characters",
    "non_ascii_punctuation",
    "quotes_and_newlines",
)

Counts = dict[str, int]


def soil(table: str, frame: pl.DataFrame, rate: float, rng: np.random.Generator) -> tuple[pl.DataFrame, Counts]:
    """A table with about `rate` of its rows spoiled, and how many of each kind."""
    if rate == 0 or not frame.height:
        return frame, {}
    soilers = {
        "patients": _soil_patients,
        "encounters": _soil_encounters,
        "diagnoses": _soil_diagnoses,
        "claims": _soil_claims,
        "notes": _soil_notes,
    }
    added, counts = soilers[table](frame, rate, rng)
    duplicates = _sample(frame, rate / 5, rng)
    counts["duplicate_row"] = duplicates.height
    base = frame if table != "notes" else added.pop(0)
    if table == "notes":
        duplicates = base.filter(pl.col("note_id").is_in(duplicates["note_id"].to_list()))
    return pl.concat([base, *added, duplicates]), {kind: count for kind, count in counts.items() if count}


def _sample(frame: pl.DataFrame, share: float, rng: np.random.Generator) -> pl.DataFrame:
    num = min(frame.height, int(rng.poisson(share * frame.height)))
    return frame[np.sort(rng.choice(frame.height, num, replace=False))]


def _renamed(frame: pl.DataFrame, column: str, mark: str) -> pl.DataFrame:
    return frame.with_columns(pl.col(column) + mark)


def _dates(num: int, rng: np.random.Generator, time: str = "") -> pl.Series:
    return pl.Series(
        [f"{IMPOSSIBLE_DATES[index]}{time}" for index in rng.integers(0, len(IMPOSSIBLE_DATES), num)], dtype=pl.String
    )


def _soil_patients(frame: pl.DataFrame, rate: float, rng: np.random.Generator) -> tuple[list[pl.DataFrame], Counts]:
    impossible = _renamed(_sample(frame, rate / 3, rng), "subject_id", "T")
    impossible = impossible.with_columns(birth_date=_dates(impossible.height, rng))
    return [impossible], {"impossible_date": impossible.height}


def _soil_encounters(frame: pl.DataFrame, rate: float, rng: np.random.Generator) -> tuple[list[pl.DataFrame], Counts]:
    orphans = _renamed(_renamed(_sample(frame, rate / 4, rng), "encounter_id", "Q"), "subject_id", "Q")
    impossible = _renamed(_sample(frame, rate / 5, rng), "encounter_id", "T")
    impossible = impossible.with_columns(discharge_time=_dates(impossible.height, rng, " 10:00:00"))
    swapped = _renamed(_sample(frame, rate / 5, rng), "encounter_id", "S")
    swapped = swapped.filter(pl.col("admit_time") < pl.col("discharge_time"))
    swapped = swapped.with_columns(admit_time=pl.col("discharge_time"), discharge_time=pl.col("admit_time"))
    counts = {
        "orphan": orphans.height,
        "impossible_date": impossible.height,
        "discharge_before_admission": swapped.height,
    }
    return [orphans, impossible, swapped], counts


def _soil_diagnoses(frame: pl.DataFrame, rate: float, rng: np.random.Generator) -> tuple[list[pl.DataFrame], Counts]:
    orphans = _renamed(_sample(frame, rate / 4, rng), "encounter_id", "Q")
    # Copies of the first code, which is never a chronic condition, so that a tolerant reader gets the same label.
    bad = _sample(frame.filter(pl.col("sequence_number") == "1"), rate / 2, rng)
    texts = pl.Series(
        [("n/a", "1e", "--", "#REF!")[index] for index in rng.integers(0, 4, bad.height)], dtype=pl.String
    )
    bad = bad.with_columns(sequence_number=texts)
    return [orphans, bad], {"orphan": orphans.height, "bad_number": bad.height}


def _soil_claims(frame: pl.DataFrame, rate: float, rng: np.random.Generator) -> tuple[list[pl.DataFrame], Counts]:
    orphans = _renamed(_renamed(_sample(frame, rate / 4, rng), "encounter_id", "Q"), "claim_id", "Q")
    impossible = _sample(frame.filter(pl.col("status") == "pending"), rate / 2, rng)
    impossible = impossible.with_columns(status_time=_dates(impossible.height, rng, " 09:30:00"))
    return [orphans, impossible], {"orphan": orphans.height, "impossible_date": impossible.height}


def _soil_notes(frame: pl.DataFrame, rate: float, rng: np.random.Generator) -> tuple[list[pl.DataFrame], Counts]:
    """The first frame is the whole table with spoiled texts."""
    num = frame.height
    kind = np.where(rng.random(num) < rate * 0.6, rng.integers(0, len(NOTE_TEXT_KINDS), num), -1)
    rows = np.flatnonzero(kind >= 0)
    texts = frame["narrative"][rows].to_list()
    spoiled = [_spoiled(text, NOTE_TEXT_KINDS[kind[row]], rng) for text, row in zip(texts, rows, strict=True)]
    narrative = (
        frame["narrative"].scatter(rows, pl.Series(spoiled, dtype=pl.String)) if len(rows) else frame["narrative"]
    )
    soiled = frame.with_columns(narrative=narrative)
    orphans = _renamed(_renamed(_sample(frame, rate / 10, rng), "note_id", "Q"), "encounter_id", "Q")
    impossible = _renamed(_sample(frame, rate / 10, rng), "note_id", "T")
    impossible = impossible.with_columns(written_time=_dates(impossible.height, rng, " 08:15:00"))
    counts = {name: int((kind == index).sum()) for index, name in enumerate(NOTE_TEXT_KINDS)}
    return [soiled, orphans, impossible], {**counts, "orphan": orphans.height, "impossible_date": impossible.height}


def _spoiled(text: str, kind: str, rng: np.random.Generator) -> str:
    choices = {
        "placeholder": PLACEHOLDERS, "two_words": TWO_WORDS, "mojibake": MOJIBAKE, "control_characters":
        CONTROL_CHARACTERS, "non_ascii_punctuation": PUNCTUATION, "quotes_and_newlines": QUOTED,
    }[kind]  # fmt: skip
    piece = choices[rng.integers(len(choices))]
    if kind == "two_words" or (kind == "placeholder" and rng.random() < 0.5):
        return piece
    at = text.find(" ", int(rng.integers(0, max(1, len(text) // 2))))
    return f"{text[:at]} {piece} {text[at + 1 :]}"
