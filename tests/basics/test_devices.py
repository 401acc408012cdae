"""The arithmetic that a run asks for is what the process computes with, and what a device lacks is refused."""

import pytest
import torch

from bayesgan.basics.devices import set_arithmetic, usable_device

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def as_before():
    yield
    set_arithmetic("fp32", CPU)


def rounded():
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


def test_products_and_convolutions_are_rounded_alike(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    torch.backends.cudnn.allow_tf32 = True  # torch's own default
    set_arithmetic("fp32", GPU)
    assert rounded() == (False, False)
    set_arithmetic("tf32", GPU)
    assert rounded() == (True, True)


def test_tf32_is_refused_without_such_a_gpu(monkeypatch):
    with pytest.raises(ValueError, match="--precision tf32 is for NVIDIA GPUs.*this cpu device.*use --precision fp32"):
        set_arithmetic("tf32", CPU)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    with pytest.raises(ValueError, match="since Ampere"):
        set_arithmetic("tf32", GPU)


def test_deterministic_is_asked_of_a_gpu_alone(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    set_arithmetic("fp32", CPU, deterministic=True)
    assert not torch.are_deterministic_algorithms_enabled()
    set_arithmetic("fp32", GPU, deterministic=True)
    assert torch.are_deterministic_algorithms_enabled()
    set_arithmetic("fp32", GPU)
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_device_that_is_not_here_is_refused_when_it_is_named():
    assert usable_device("cpu") == usable_device(CPU) == CPU
    absent = "cuda:99"  # also where there are GPUs
    for wrong, words in (("foo", "'foo'"), (None, "None"), (absent, "'cuda:99'"), ("meta", "meta; give cpu")):
        with pytest.raises(ValueError, match=f"^device must be one that .* got {words}"):
            usable_device(wrong)
