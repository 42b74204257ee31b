"""How the notes behind an AUROC are cut into groups."""

from __future__ import annotations

from lang1_assets.settings.section import PositiveInt, Section


class Analyze(Section):
    """Strata, patient overlap and drift (appendices K and L); resamples as in `evaluate`."""

    min_notes: PositiveInt = 50
    """A group of fewer notes is named and left out."""
    min_events: PositiveInt = 10
    """So is one with fewer notes that are not of its commonest class."""
    age_band_years: PositiveInt = 5
    """As in Fig. K8."""
