"""Hospital language models as Dagster assets: Lang1 and ReMedE (Jiang et al., 2025)."""
