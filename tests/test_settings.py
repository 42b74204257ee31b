from pathlib import Path

import pytest

from lang1_assets.settings import PROFILE_FOLDER, SettingsError, load_settings
from lang1_assets.settings.study import Study


def write(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(f"extends: {PROFILE_FOLDER}/tiny.yaml\n{text}")
    return str(path)


@pytest.mark.parametrize("name", sorted(path.stem for path in PROFILE_FOLDER.glob("*.yaml")))
def test_shipped_profiles_are_valid(name: str) -> None:
    assert load_settings(name).name == name


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    bad = write(
        tmp_path,
        "name: bad\nsead: 3\nsource: {kind: tables}\nmodel: {num_attention_heads: 5}\n"
        "pretrain: {max_stepz: 3, learning_rate: -1, max_steps: hello}\n",
    )
    with pytest.raises(SettingsError) as error:
        load_settings(bad)
    message = str(error.value)
    assert bad in message
    for part in (
        "sead: unknown setting; did you mean 'seed'?",
        "pretrain.max_stepz: unknown setting; did you mean 'max_steps'?",
        "pretrain.learning_rate",
        "found 'hello'",
        "num_attention_heads 5",
        "needs either path",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("finetune: {note_tokens: 320}", "leaves no room for the question"),
        ("variants: {'a,b': {mixture: {notes: 1}}}", "letters, digits"),
        ("variants: {a: {}}", "give one of: a mixture"),
        ("variants: {a: {mixture: {notes: 1}, random_weights: true}}", "give one of: a mixture"),
        ("pretrain: {warmup_steps: 4000}", "must be below max_steps"),
        ("finetune: {global_batch_size: 13}", "not a multiple"),
        ("finetune: {search: {low: 1.0, high: 0.1}}", "is above high"),
        ("web_text: {path: x}", "set kind: slimpajama"),
        (
            "variants: {a: {mixture: {notes: 1, biomedical: 15}}}",
            r"variants\.a\.mixture names biomedical; known: notes, notes_plus, ",
        ),
        (
            "text_sources: {pmc: {path: x}}\nvariants: {a: {mixture: {pcm: 1}}}",
            r"names pcm; known: notes, notes_plus, web_text, pmc",
        ),
        ("text_sources: {notes: {path: x}}", r"text_sources\.notes: the name is taken"),
        ("text_sources: {web: {path: x}}", r"text_sources\.web: the name is taken"),
        ("text_sources: {Pub-Med: {path: x}}", r"text_sources\.Pub-Med"),
        ("text_sources: {pmc: {}}", r"text_sources\.pmc\.path: missing"),
        ("text_sources: {pmc: {pathh: x}}", r"text_sources\.pmc\.pathh: unknown setting; did you mean 'path'"),
        ("corpora: {deduplication: fuzzy}", r"corpora\.deduplication"),
        ("corpora: {near_similarity: 1.2}", r"corpora\.near_similarity"),
    ],
)
def test_impossible_values(tmp_path: Path, text: str, part: str) -> None:
    with pytest.raises(SettingsError, match=part):
        load_settings(write(tmp_path, text))


def test_missing_profile_names_the_ones_there_are() -> None:
    with pytest.raises(SettingsError, match="lang1-1b"):
        load_settings("nosuch")


def test_not_yaml(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("name: [")
    with pytest.raises(SettingsError, match="not a readable YAML"):
        load_settings(str(path))


def test_extends_cycle(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("extends: p.yaml\n")
    with pytest.raises(SettingsError, match="leads back to itself"):
        load_settings(str(path))


def test_relative_paths_belong_to_their_profile(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, "source: {kind: tables, path: tables}"))
    assert settings.source.path == tmp_path / "tables"


def test_any_number_of_text_sources_can_be_mixed(tmp_path: Path) -> None:
    """Continual pretraining on biomedical : clinical : general = 15 : 1 : 4 (M70)."""
    settings = load_settings(
        write(
            tmp_path,
            "text_sources: {biomedical: {path: pmc}, law: {path: /data/law}}\n"
            "variants: {me: {mixture: {biomedical: 15, notes_plus: 1, web_text: 4}}}",
        )
    )
    assert settings.text_sources["biomedical"].path == tmp_path / "pmc"
    assert settings.corpus_names == ("notes", "notes_plus", "web_text", "biomedical", "law")
    assert settings.variants["me"].mixture == {"biomedical": 15, "notes_plus": 1, "web_text": 4}


def test_variants_are_replaced_whole(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, "variants: {only: {mixture: {notes: 1}}}"))
    assert list(settings.variants) == ["only"]


def test_extends_takes_a_shipped_name_and_nothing_but_text(tmp_path: Path) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text("extends: tiny\nname: ours\n")
    assert load_settings(str(path)).model.hidden_size == load_settings("tiny").model.hidden_size
    path.write_text("extends: {tiny: 1}\n")
    with pytest.raises(SettingsError, match="extends: expected profiles' names or paths, found dict"):
        load_settings(str(path))


def test_a_home_folder_in_a_path_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text("extends: tiny\nname: ours\nsource: {kind: tables, path: ~/exports}\n")
    assert load_settings(str(path)).source.path == Path.home() / "exports"


@pytest.mark.parametrize(("name", "kind"), [("mimic-iii", "mimic_iii"), ("mimic-iv", "mimic_iv")])
def test_a_source_s_part_goes_beside_any_model(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text(f"extends: [lang1-1b, {name}]\nname: ours\nsource: {{path: files}}\n")
    settings = load_settings(str(path))
    assert settings.model.hidden_size == 2048
    assert (settings.source.kind, settings.source.path) == (kind, tmp_path / "files")
    assert settings.cohorts.split_names == ("train", "val", "test")
    assert (settings.cohorts.headline_split, settings.cohorts.test_splits) == ("test", ("test",))
    assert settings.corpora.notes_plus_window is None


def test_mimic_iii_follows_the_paper(tmp_path: Path) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text("extends: [tiny, mimic-iii]\nname: ours\nsource: {path: files}\n")
    cohorts = load_settings(str(path)).cohorts
    assert cohorts.split_shares["readmission"] == (70, 15, 15)
    assert cohorts.split_shares["mortality"] == cohorts.split_shares["length_of_stay"] == (80, 10, 10)
    assert (cohorts.hp_when_several, cohorts.hp_max_hours_after_admission) == ("preferred", 120)
    assert cohorts.length_of_stay_unit == "elapsed_days"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("source: {kind: omop}", "kind 'omop' needs either path"),
        ("source: {kind: omop, path: x, postgres_schema: y}", "kind 'omop' needs either path"),
        ("source: {kind: fhir, postgres_schema: y}", "kind 'fhir' is read from files"),
        ("source: {path: x}", "path is given, but kind is 'embedded'"),
        ("source: {kind: tables, path: x, site: external}", "site is of the embedded hospital"),
        ("source: {site: elsewhere}", "source.site"),
        ("source: {kind: omop, postgres_schema: y, remittances: z}", "remittances are read from files"),
        ("cohorts: {split_shares: {mortality: [80, 10, 5]}}", "add up to 100 for mortality"),
        ("cohorts: {split_windows: {inpatient: {}}}", "split_windows: give inpatient and insurance_denial"),
        ("cohorts: {stay_classes: []}", "cohorts.stay_classes"),
        ("cohorts: {stay_classes: [inpatiant]}", "cohorts.stay_classes"),
        ("cohorts: {readmission_minimum_gap_hours: 720}", "leaves nothing of readmission_days"),
        ("cohorts: {denial_claim_statuses: [Paid]}", "both hold paid"),
        ("cohorts: {hp_max_hours_before_admission: 99999999999}", "hp_max_hours_before_admission"),
        (
            "cohorts: {split_windows: {inpatient: {development: [2020-01-01, 2021-07-01], temporal_2021: [2021-06-01, 2022-01-01], "
            "temporal_2024: [2024-01-01, 2025-01-01]}, insurance_denial: {development: [2021-05-01, 2022-03-01], "
            "temporal_2021: [2022-03-01, 2022-05-01], temporal_2024: [2024-01-01, 2024-02-01]}}}",
            "split_windows.inpatient: each window must end",
        ),
        ("source: {kind: fhir, path: x, fhir_time_zone: Mars/X}", "fhir_time_zone 'Mars/X' is not known"),
        ("source: {kind: omop, postgres_schema: 'a; drop'}", "source.postgres_schema"),
        ("source: {minimum_plausible_date: 2200-01-01}", "must lie before maximum_plausible_date"),
        ("cohorts: {hp_when_several: best}", "cohorts.hp_when_several"),
        ("cohorts: {death_dispositions: []}", "cohorts.death_dispositions"),
    ],
)
def test_choices_that_cannot_be(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        load_settings(write(tmp_path, text))


def test_null_drops_a_section_that_a_profile_extends(tmp_path: Path) -> None:
    parent = write(tmp_path, "study: {perplexity_notes: 7}\nelsewhere: tiny-elsewhere")
    child = tmp_path / "child.yaml"
    child.write_text(f"extends: {parent}\nstudy: null\nelsewhere: null\nmodels: null\n")
    kept, dropped = load_settings(parent), load_settings(str(child))
    assert (kept.study.perplexity_notes, kept.elsewhere) == (7, "tiny-elsewhere")
    assert kept.models
    assert (dropped.study, dropped.elsewhere, dropped.models) == (Study(), None, {})


def test_other_records_have_no_inherited_hospital_elsewhere(tmp_path: Path) -> None:
    """Nor the studies of variants that a profile has replaced; those it keeps are kept."""
    (tmp_path / "ours.yaml").write_text(
        f"extends: tiny\nname: ours\nsource: {{kind: tables, path: {tmp_path}}}\n"
        "variants: {lang1-tiny-notes: {mixture: {notes: 1}}, ours: {random_weights: true}}\n"
    )
    settings = load_settings(str(tmp_path / "ours.yaml"))
    assert load_settings("tiny").elsewhere is not None
    assert settings.elsewhere is None
    assert set(settings.study.finetuned) == {"lang1-tiny-notes"}
    assert settings.study.scaled == {}
    assert not any(recipe.startswith(("elsewhere_", "matched_")) for recipe in settings.recipes)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("study: {finetuned: {nobody: [joint]}}", "study.finetuned.nobody: no such variant"),
        ("study: {finetuned: {a: [everything]}}", "study.finetuned.a: no recipe everything"),
        ("study: {scaled_task: walking}", "study.scaled_task: no task walking"),
        ("finetune: {lora: {rank: 0}}", "finetune.lora.rank"),
        ("finetune: {recipes: [elsewhere_walking]}", "finetune.recipes: no recipe elsewhere_walking"),
    ],
)
def test_studies_of_what_there_is_not(tmp_path: Path, line: str, expected: str) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text(f"extends: tiny\nname: ours\nvariants: {{a: {{mixture: {{notes: 1}}}}}}\n{line}\n")
    with pytest.raises(SettingsError, match=expected.replace(".", r"\.")):
        load_settings(str(path))


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("{mixture: {notes: 1}, model: {hidden_size: 63}}", "variants.a.model: .*hidden_size 63 is not a multiple"),
        ("{mixture: {notes: 1}, pretrain: {warmup_steps: 5000}}", "variants.a.pretrain: .*warmup_steps 5000"),
        ("{folder: /models/x, model: {hidden_size: 64}}", "a model from a folder is as it is"),
        ("{folder: /models/x, random_weights: true}", "give one of"),
    ],
)
def test_variants_that_cannot_be(tmp_path: Path, variant: str, expected: str) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text(f"extends: tiny\nname: ours\nvariants: {{a: {variant}}}\n")
    with pytest.raises(SettingsError, match=f"(?s){expected}"):
        load_settings(str(path))


def test_adapters_of_all_variants_are_not_an_encoder_s(tmp_path: Path) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text("extends: tiny\nname: ours\nfinetune: {lora: {rank: 2}}\n")
    settings = load_settings(str(path))
    adapted = {name for name in settings.variants if settings.lora_of(name)}
    assert adapted == {name for name, held in settings.variants.items() if held.architecture == "decoder"}
