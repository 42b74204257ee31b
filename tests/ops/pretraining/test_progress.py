import pytest
import torch

from lang1_assets.ops.model import ModelShape
from lang1_assets.ops.pretraining import progress
from lang1_assets.ops.pretraining.progress import flops_per_token, peak_flops
from lang1_assets.ops.training.intervals import peak_memory_bytes
from lang1_assets.settings import load_settings

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("profile", "num_parameters", "tokens_per_second", "utilization"),
    [("lang1-1b", 1_100_048_384, 71_000, 0.55), ("lang1-100m", 101_263_104, 596_000, 0.40)],
)
def test_utilization_of_known_speeds_on_an_h200(
    profile: str, num_parameters: int, tokens_per_second: int, utilization: float
) -> None:
    shape = ModelShape(**load_settings(profile).model.model_dump())
    used = tokens_per_second * flops_per_token(num_parameters, shape) / progress.DENSE_BF16_FLOPS["H200"]
    assert used == pytest.approx(utilization, abs=0.005)


def test_utilization_is_said_only_of_devices_whose_peak_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert peak_flops(CPU) is None
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100 80GB HBM3")
    assert peak_flops(torch.device("cuda")) == 989e12
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA GeForce GTX 1080")
    assert peak_flops(torch.device("cuda")) is None


def test_memory_grows_with_what_is_held() -> None:
    before = peak_memory_bytes(CPU)
    held = torch.ones(before // 4 + 25_000_000)
    assert peak_memory_bytes(CPU) >= before + 50_000_000
    assert held.sum() > 0
