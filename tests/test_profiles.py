"""The family of the paper: every number of section 5.3 and Table 1 that a profile can hold, and the published shapes."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from lang1_assets.evaluation import families
from lang1_assets.ops.model import ModelShape, build_model
from lang1_assets.ops.study import ablations, roles
from lang1_assets.ops.study.cells import Base, Studied
from lang1_assets.settings import Settings, load_settings

FAMILY = ("lang1-100m", "lang1-1b", "lang1-7b")
SEED = 3407
LLAMA_2_PIECES = 32_000

# The shape fields of config.json as published with BEE-spoke-data/smol_llama-101M-GQA (which pads its vocabulary to
# 32,128), TinyLlama/TinyLlama-1.1B and meta-llama/Llama-2-7b-hf.
PUBLISHED: dict[str, dict[str, Any]] = {
    "lang1-100m": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 6,
        "num_attention_heads": 24,
        "num_key_value_heads": 8,
        "max_position_embeddings": 1024,
        "vocab_size": 32_128,
    },
    "lang1-1b": {
        "hidden_size": 2048,
        "intermediate_size": 5632,
        "num_hidden_layers": 22,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
        "max_position_embeddings": 2048,
        "vocab_size": 32_000,
    },
    "lang1-7b": {
        "hidden_size": 4096,
        "intermediate_size": 11_008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "max_position_embeddings": 4096,
        "vocab_size": 32_000,
    },
}
PARAMETERS = {"lang1-100m": 101_263_104, "lang1-1b": 1_100_048_384, "lang1-7b": 6_738_415_616}
OF_EVERY_LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "attention_bias": False,
    "mlp_bias": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def shape_of(settings: Settings) -> ModelShape:
    return ModelShape(**settings.model.model_dump())


def parameters_of(config: dict[str, Any]) -> int:
    """Counted from the fields of a published config alone: untied embeddings, attention, gated MLP, two norms a layer."""
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    key_value = hidden // heads * config["num_key_value_heads"]
    attention = 2 * hidden * hidden + 2 * hidden * key_value
    layer = attention + 3 * hidden * config["intermediate_size"] + 2 * hidden
    return 2 * config["vocab_size"] * hidden + config["num_hidden_layers"] * layer + hidden


@pytest.mark.parametrize("name", FAMILY)
def test_a_model_has_the_parameters_and_the_config_of_the_published_one(name: str, tmp_path: Path) -> None:
    published = PUBLISHED[name]
    with torch.device("meta"):
        model = build_model(shape_of(load_settings(name)), published["vocab_size"], SEED)
    assert model.num_parameters() == parameters_of(published) == PARAMETERS[name]
    # As `save_model` writes it, without the weights.
    model.save_pretrained(tmp_path, state_dict={"lm_head.weight": torch.zeros(1)})
    saved = json.loads((tmp_path / "config.json").read_text())
    expected = {**published, **OF_EVERY_LLAMA, "head_dim": published["hidden_size"] // published["num_attention_heads"]}
    assert {field: saved[field] for field in expected} == expected
    assert saved["rope_parameters"] == {"rope_type": "default", "rope_theta": 10_000.0}


def test_the_first_loss_of_the_100m_model_is_that_of_a_uniform_guess() -> None:
    """ln(vocabulary) and what logits of standard deviation s add to it, s^2 / 2: 0.2 with the profile's random weights."""
    settings = load_settings("lang1-100m")
    model = build_model(shape_of(settings), LLAMA_2_PIECES, SEED)
    windows = torch.randint(LLAMA_2_PIECES, (4, 65), generator=torch.Generator().manual_seed(SEED))
    with torch.no_grad():
        loss = model(input_ids=windows, labels=windows).loss.item()
    variance = settings.model.initializer_range**2 * settings.model.hidden_size
    assert loss == pytest.approx(math.log(LLAMA_2_PIECES) + variance / 2, abs=0.05)
    assert loss < math.log(LLAMA_2_PIECES) + 0.3


@pytest.mark.parametrize("name", FAMILY)
def test_random_weights_are_as_wide_as_litgpt_draws_them(name: str) -> None:
    """The library the paper trained with: sqrt(2 / (5 x width))."""
    model = load_settings(name).model
    assert model.initializer_range == pytest.approx(math.sqrt(2 / 5 / model.hidden_size), rel=0.01)


@pytest.mark.parametrize("name", FAMILY)
def test_the_recipe_of_section_5_3(name: str) -> None:
    settings = load_settings(name)
    pretrain = settings.pretrain
    assert (pretrain.betas, pretrain.eps, pretrain.weight_decay) == ((0.9, 0.95), 1e-8, 0.1)
    assert (pretrain.gradient_clipping, pretrain.warmup_steps, pretrain.min_learning_rate) == (1.0, 2000, 4e-5)
    assert (settings.seed, settings.shards.val_fraction) == (3407, 0.001)
    expected = {"lang1-100m": (1024, 4096, 2), "lang1-1b": (2048, 1024, 2), "lang1-7b": (4096, 1024, 3)}
    assert (settings.model.context_length, pretrain.global_batch_size, pretrain.zero_stage) == expected[name]


@pytest.mark.parametrize("name", FAMILY)
def test_the_recipe_of_section_5_4(name: str) -> None:
    finetune = load_settings(name).finetune
    assert (finetune.betas, finetune.eps, finetune.weight_decay) == ((0.9, 0.999), 1e-5, 0.02)
    assert (finetune.gradient_clipping, finetune.warmup_steps, finetune.min_learning_rate) == (0.0, 0, 0.0)
    assert (finetune.max_steps, finetune.patience_steps, finetune.note_tokens) == (5120, 300, 512)
    search = finetune.search
    assert (search.num_trials, search.max_steps, search.low, search.high) == (5, 100, 1e-6, 1e-3)


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("num_gpus", [8, 16, 32, 64])
def test_the_batches_divide_by_the_paper_s_gpus(name: str, num_gpus: int) -> None:
    pretrain = load_settings(name).pretrain
    assert pretrain.global_batch_size % (pretrain.micro_batch_size * num_gpus) == 0


@pytest.mark.parametrize(("name", "tokens"), [("lang1-100m", 37.7e9), ("lang1-1b", 314.5e9), ("lang1-7b", 314.5e9)])
def test_the_tokens_of_a_whole_run(name: str, tokens: float) -> None:
    settings = load_settings(name)
    steps = settings.pretrain.max_steps
    assert steps * settings.pretrain.global_batch_size * settings.model.context_length == pytest.approx(
        tokens, rel=2e-3
    )


def test_table_1_and_its_controls_are_the_variants_of_the_family() -> None:
    """Seven models: three mixtures of two sizes and one of the third; each size has a control with random weights."""
    mixtures = {
        "notes": {"notes": 1},
        "notesplus": {"notes_plus": 1},
        "notesplus-webtexts": {"notes_plus": 1, "web_text": 1},
    }
    expected = {f"{size}-{mix}": weights for size in FAMILY[:2] for mix, weights in mixtures.items()}
    expected["lang1-7b-notesplus-webtexts"] = mixtures["notesplus-webtexts"]
    variants = {key: variant for name in FAMILY for key, variant in load_settings(name).variants.items()}
    controls = {key for key, variant in variants.items() if variant.random_weights}
    assert {key: variants[key].mixture for key in variants if key not in controls} == expected
    assert controls == {f"{size}-random" for size in FAMILY}
    # "Lang1-1B" without a suffix is the mixture of both (5.3.1): the one that the demo trains.
    assert all(load_settings(size).main_variant == f"{size}-notesplus-webtexts" for size in FAMILY)


def test_one_profile_holds_tables_1_and_2_and_what_the_studies_compare() -> None:
    """Of one size alone, claims about sizes, architectures and generalists could never be told."""
    whole = load_settings("lang1-paper")
    for size in FAMILY:
        alone = load_settings(size)
        for key, variant in alone.variants.items():
            if not variant.random_weights:
                assert whole.variants[key].mixture == variant.mixture
                assert whole.shape_of(key) == alone.shape_of(key)
                assert whole.pretrain_of(key) == alone.pretrain_of(key)
    assert whole.main_variant == "lang1-1b-notesplus-webtexts"
    assert {key for key, variant in whole.variants.items() if variant.folder} == {
        "llama-3-2-1b",
        "llama-2-7b",
        "deepseek-r1-distill-llama-70b",
    }
    assert whole.lora_of("deepseek-r1-distill-llama-70b") is not None
    bases = [
        Base(
            name=key,
            corpora=frozenset(variant.mixture),
            architecture=variant.architecture,
            is_random=variant.random_weights,
            is_from_folder=variant.folder is not None,
            num_parameters=None if variant.folder else rough_size(whole.shape_of(key)),
            shape="" if variant.folder else whole.shape_of(key).model_dump_json(),
        )
        for key, variant in whole.variants.items()
    ]
    missing = [name for family in families.FAMILIES.values() for name in family.expected(whole)]
    held = Studied(
        cells=[],
        bases=bases,
        split="temporal_2024",
        test_splits=(),
        scaled_task="readmission",
        num_resamples=1,
        seed=1,
        missing=missing,
    )
    generalists = {"llama-3-2-1b", "lang1-1b-webtexts"}
    assert {base.name for base in roles.finetuned_generalists_of(held)} == {
        *generalists,
        "deepseek-r1-distill-llama-70b",
    }
    assert {base.name for base in roles.scaled_generalists_of(held)} == {"llama-3-2-1b", "llama-2-7b"}
    assert len(list(roles.size_pairs(held))) == 5
    assert [older.name for older, _ in ablations.decoders_by_years(held)] == ["lang1-1b-notes", "lang1-100m-notes"]
    (pair,) = roles.architecture_pairs(held)
    assert [base.name for base in pair] == ["lang1-100m-encoder-notes", "lang1-100m-notes"]
    untrained = roles.untrained_of(held)
    assert untrained is not None
    assert untrained.name in whole.study.scaled
    # Another hospital is the reader's to name.
    assert [name for name in families.READ_BY if not families.can_be_made(whole, name)] == ["other_hospital"]


def rough_size(shape: Any) -> int:
    return int(shape.hidden_size**2 * shape.num_hidden_layers)
