"""What a run is: the typed, validated reading of one profile file. No torch here: the Dagster definitions import this.

A profile is YAML. `extends: other.yaml` takes everything from another profile and changes what it names, so a variant is
never a copied file; `extends: [lang1-1b, mimic-iii]` takes one after another. Relative paths are relative to the profile
that names them. Every problem in a profile is reported at once, each with its field, the value found and what was expected.
"""

from lang1_assets.settings.corpus import Corpora
from lang1_assets.settings.profile import Settings
from lang1_assets.settings.reading import PROFILE_FOLDER, SettingsError, lang1_home, load_settings, profile_path
from lang1_assets.settings.sources import Source, TextSource
from lang1_assets.settings.training import CORPORA, RECIPES

__all__ = [
    "CORPORA",
    "PROFILE_FOLDER",
    "RECIPES",
    "Corpora",
    "Settings",
    "SettingsError",
    "Source",
    "TextSource",
    "lang1_home",
    "load_settings",
    "profile_path",
]
