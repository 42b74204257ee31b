"""What assets are partitioned by: model variants, models in service, and the dated exports that land later."""

from __future__ import annotations

import dagster as dg

from lang1_assets.settings import Settings

dated_exports = dg.DynamicPartitionsDefinition(name="dated_exports")
"""One partition for each export that landed, named by its month (YYYY-MM)."""


def variant_partitions(settings: Settings) -> dg.StaticPartitionsDefinition:
    """One partition for each pretrained model of the profile: the rows of the paper's Table 1 and the controls."""
    return dg.StaticPartitionsDefinition(list(settings.variants))


def service_partitions(settings: Settings) -> dg.StaticPartitionsDefinition:
    """One partition for each model in service, named by what it was finetuned on."""
    return dg.StaticPartitionsDefinition(list(settings.operate.recipes))
