"""How long what a run leaves behind is kept."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from lang1_assets.settings.section import Section

Days = Annotated[int, Field(ge=0)]


class Retention(Section):
    """Days after which something is removed; null keeps it. What is removed has a row in the audit."""

    landed_files_days: Days | None = None
    """Fetched files of a landed month, after its last evaluation; never while a label still depends on them."""
    superseded_days: Days | None = None
    """Earlier revisions of landed months, and half-made work that was set aside."""
    job_logs_days: Days | None = None
    """Logs of training jobs, and what Dagster kept of the output of steps."""
    generations_days: Days | None = None
    """What models wrote while they were trained."""

    @property
    def days(self) -> dict[str, int]:
        """Rule -> days, of the rules that are set."""
        held = self.model_dump()
        return {name.removesuffix("_days"): days for name, days in held.items() if days is not None}
