import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM, MistralConfig
from transformers import MistralForCausalLM as Mistral

from lang1_assets.ops.model import (
    AnswerLoss,
    ModelShape,
    answer_logits,
    build_model,
    open_model,
    save_model,
)
from lang1_assets.ops.next_token_loss import NextTokenLoss
from lang1_assets.ops.scoring import pad_right
from lang1_assets.settings import load_settings
from tests.ops.conftest import SEED, SHAPE


@pytest.fixture(scope="module")
def model(model_folder: Path) -> LlamaForCausalLM:
    return open_model(model_folder).eval()


@pytest.fixture(scope="module")
def mistral(vocab_size: int) -> Mistral:
    """Another causal model than ours: it takes the general path."""
    torch.manual_seed(SEED)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    return Mistral(MistralConfig(vocab_size=vocab_size, initializer_range=0.5, **sizes, **heads)).eval()


def random_rows(lengths: list[int], vocab_size: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(SEED)
    return [torch.randint(3, vocab_size, (length,), generator=generator) for length in lengths]


@pytest.mark.parametrize(
    ("profile", "vocabulary", "expected"),
    [
        # smol_llama-101M-GQA as published (101 M) has 32,128 pieces; Llama-2's tokenizer has 32,000.
        ("lang1-100m", 32_128, 101_263_104),
        ("lang1-100m", 32_000, 101_263_104 - 2 * 128 * 768),
        ("lang1-1b", 32_000, 1_100_048_384),
        ("lang1-7b", 32_000, 6_738_415_616),
    ],
)
def test_the_family_has_the_published_sizes(profile: str, vocabulary: int, expected: int) -> None:
    shape = ModelShape(**load_settings(profile).model.model_dump())
    with torch.device("meta"):
        assert build_model(shape, vocabulary, SEED).num_parameters() == expected


def test_a_fresh_model_knows_nothing(vocab_size: int) -> None:
    windows = torch.stack(random_rows([33] * 16, vocab_size))
    loss = NextTokenLoss(build_model(SHAPE, vocab_size, SEED))(windows)
    assert loss.item() == pytest.approx(math.log(vocab_size), abs=0.05)


def test_a_seed_gives_one_model(vocab_size: int) -> None:
    first, again, other = (build_model(SHAPE, vocab_size, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["lm_head.weight"], other["lm_head.weight"])


def test_random_weights_spread_as_the_profile_says(vocab_size: int) -> None:
    weights = build_model(replace(SHAPE, initializer_range=0.08), vocab_size, SEED).lm_head.weight
    assert weights.std().item() == pytest.approx(0.08, rel=0.05)


def test_next_token_loss_is_the_library_s_own(model: LlamaForCausalLM, vocab_size: int) -> None:
    windows = torch.stack(random_rows([33] * 4, vocab_size))
    # transformers shifts the labels itself, so the same windows serve as both.
    expected = model(input_ids=windows, labels=windows).loss
    assert NextTokenLoss(model)(windows).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("kind", ["model", "mistral"])
def test_answer_logits_are_those_of_the_whole_model(kind: str, vocab_size: int, request: pytest.FixtureRequest) -> None:
    """Padded or not, whatever else is in the batch: row by row the same numbers as the full logits."""
    tested = request.getfixturevalue(kind)
    rows = random_rows([7, 40, 1, 23, 40], vocab_size)
    input_ids, last = pad_right([row.numpy() for row in rows])
    with torch.no_grad():
        batched = answer_logits(tested, input_ids, last)
        for row, logits in zip(rows, batched, strict=True):
            full = tested(input_ids=row[None]).logits[0, -1]
            torch.testing.assert_close(logits, full, atol=2e-5, rtol=1e-5)
            alone = answer_logits(tested, row[None], torch.tensor([len(row) - 1]))[0]
            torch.testing.assert_close(alone, full, atol=2e-5, rtol=1e-5)
    assert batched.std() > 0.1


def test_what_stands_in_the_padding_changes_nothing(model: LlamaForCausalLM, vocab_size: int) -> None:
    input_ids, last = pad_right([row.numpy() for row in random_rows([5, 30], vocab_size)])
    otherwise = input_ids.clone()
    otherwise[0, 5:] = 17
    with torch.no_grad():
        torch.testing.assert_close(answer_logits(model, input_ids, last), answer_logits(model, otherwise, last))
        otherwise[0, 4] += 1
        assert not torch.allclose(answer_logits(model, input_ids, last)[0], answer_logits(model, otherwise, last)[0])


def test_answer_loss_and_its_gradients_are_those_of_the_full_logits(model: LlamaForCausalLM, vocab_size: int) -> None:
    rows, answers = random_rows([9, 21, 15], vocab_size), torch.tensor([5, 6, 7])
    input_ids, last = pad_right([row.numpy() for row in rows])
    gradients = []
    for loss in (
        AnswerLoss(model)(input_ids, last, answers),
        functional.cross_entropy(model(input_ids=input_ids).logits[torch.arange(3), last], answers),
    ):
        model.zero_grad()
        loss.backward()
        gradients.append([loss.detach(), *(parameter.grad.clone() for parameter in model.parameters())])
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_a_saved_model_opens_with_its_tokenizer_and_nothing_but_safetensors(
    tmp_path: Path, tokenizer_folder: Path, vocab_size: int
) -> None:
    built = build_model(SHAPE, vocab_size, SEED)
    folder = tmp_path / "tokens-1"
    (tmp_path / "tokens-1.tmp").mkdir()
    (tmp_path / "tokens-1.tmp" / "half-written").touch()
    save_model(built, built.state_dict(), tokenizer_folder, folder)
    assert [path.name for path in tmp_path.iterdir()] == ["tokens-1"]
    assert {path.name for path in folder.iterdir()} >= {"model.safetensors", "config.json", "tokenizer.json"}
    assert not [path for path in folder.iterdir() if path.suffix in {".bin", ".pt", ".py", ".tmp", ""}]
    opened = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True)
    for name, value in built.state_dict().items():
        assert torch.equal(opened.state_dict()[name], value)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer("chest pain").input_ids == AutoTokenizer.from_pretrained(tokenizer_folder)("chest pain").input_ids


def test_tied_embeddings_survive_saving(tmp_path: Path, tokenizer_folder: Path, vocab_size: int) -> None:
    tied = build_model(ModelShape(**{**vars(SHAPE), "tie_word_embeddings": True}), vocab_size, SEED)
    save_model(tied, tied.state_dict(), tokenizer_folder, tmp_path / "tied")
    opened = open_model(tmp_path / "tied")
    assert opened.lm_head.weight is opened.model.embed_tokens.weight
    assert torch.equal(opened.lm_head.weight, tied.lm_head.weight)


def test_weights_that_are_pickled_are_not_opened(tmp_path: Path, model_folder: Path) -> None:
    """A pickle may run any code when it is read."""
    for name in ("config.json", "generation_config.json"):
        (tmp_path / name).write_bytes((model_folder / name).read_bytes())
    weights = load_file(model_folder / "model.safetensors")
    torch.save(weights, tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        open_model(tmp_path)
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert open_model(tmp_path).num_parameters() > 0
