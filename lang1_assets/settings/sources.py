"""Where records and web text come from."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import Field, model_validator

from lang1_assets.settings.section import PositiveInt, Section, require_path


class Source(Section):
    """Where the hospital's records come from."""

    kind: Literal["embedded", "tables", "mimic_iii", "mimic_iv", "omop", "fhir"] = "embedded"
    """`embedded`: the synthetic hospital that ships with the project. `tables`: files in the project's own columns.
    `mimic_iii`, `mimic_iv`, `omop`: files as those are distributed. `fhir`: a bulk export."""
    path: Path | None = None
    """Folder of the files (not for kind `embedded`, nor with `postgres_schema`)."""
    postgres_schema: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_$]*$")] | None = None
    """Schema of a PostgreSQL server that has the tables, instead of `path`. Where the server is comes from the
    environment: LANG1_POSTGRES_HOST, _PORT, _USER, _PASSWORD, _DATABASE."""
    remittances: Path | None = None
    """Folder of X12 835 files, from which claims come; their account numbers are the encounters' ids."""
    encoding: Literal["utf-8", "latin-1"] = "utf-8"
    """Encoding of CSV files; a row with bytes that are not of it is a reject."""
    minimum_plausible_date: date = date(1900, 1, 1)
    maximum_plausible_date: date = date(2100, 1, 1)
    """Dates outside [minimum, maximum) are rejects; widen for date-shifted records (MIMIC lies in 2100 - 2200)."""
    fhir_superseded_notes: Literal["drop_replaced", "drop", "keep"] = "drop_replaced"
    """FHIR notes called superseded: leave out those that another note replaces, all, or none."""
    fhir_time_zone: str | None = None
    """IANA name, such as America/New_York, for FHIR exports whose times are in UTC; otherwise the written clock counts."""
    num_encounters: PositiveInt = 45_000
    """Admissions that the embedded hospital simulates, 2003 to 2024."""
    dirt_rate: Annotated[float, Field(ge=0, le=0.2)] = 0.01
    """Share of rows that the embedded hospital spoils on purpose."""
    site: Literal["main", "external"] = "main"
    """Which embedded hospital: `external` is another one, with its own style, codes, prevalences and case mix."""

    @model_validator(mode="after")
    def _one_place(self) -> Source:
        places = [name for name in ("path", "postgres_schema") if getattr(self, name) is not None]
        if self.kind == "embedded" and places:
            raise ValueError(f"{places[0]} is given, but kind is 'embedded'; set the kind of the records or remove it")
        if self.kind != "embedded" and self.site != "main":
            raise ValueError(f"site is of the embedded hospital, but kind is '{self.kind}'; remove it")
        if self.kind != "embedded" and len(places) != 1:
            raise ValueError(f"kind '{self.kind}' needs either path (a folder of files) or postgres_schema")
        if self.kind == "fhir" and self.postgres_schema:
            raise ValueError("kind 'fhir' is read from files; give path")
        if self.minimum_plausible_date >= self.maximum_plausible_date:
            raise ValueError("minimum_plausible_date must lie before maximum_plausible_date")
        if self.fhir_time_zone is not None and self.fhir_time_zone not in available_timezones():
            raise ValueError(
                f"fhir_time_zone '{self.fhir_time_zone}' is not known; give a name such as America/New_York"
            )
        if self.postgres_schema and self.remittances:
            raise ValueError("remittances are read from files; leave them out or give path instead of postgres_schema")
        return self

    @property
    def sql_kind(self) -> str:
        """The kind as the SQL project calls it."""
        return "tables" if self.kind == "embedded" else self.kind

    @property
    def database(self) -> Literal["duckdb", "postgres"]:
        """Where the SQL runs."""
        return "postgres" if self.postgres_schema else "duckdb"


class TextSource(Section):
    """A further corpus of text, for continual pretraining say (M70); variants mix it under its name in the profile."""

    path: Path
    """Folder of `.jsonl.zst` or `.jsonl` files in the SlimPajama layout."""


class WebText(Section):
    """Where the web text comes from."""

    kind: Literal["embedded", "slimpajama"] = "embedded"
    path: Path | None = None
    """Folder of `.jsonl.zst` or `.jsonl` files in the SlimPajama layout (kind `slimpajama` only)."""
    num_documents: PositiveInt = 6_000
    """Documents that the embedded source writes."""
    question_files: tuple[Path, ...] = ()
    """Comprehension questions, which each checkpoint is asked: SciQ's and PubMedQA's JSON, a Parquet file, one of each at most.
    Without any, those that the embedded source writes."""

    @model_validator(mode="after")
    def _path_when_needed(self) -> WebText:
        return require_path(self, "slimpajama", "the folder with the .jsonl.zst files")
