"""What counts as out of memory: known words and types, never a path or a word of the user's."""

import pytest
import torch

from bayesgan.basics.errors import Diverged
from bayesgan.basics.out_of_memory import is_out_of_memory
from bayesgan.commands.exit_codes import exit_code


@pytest.mark.parametrize("error", [
    MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried to"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("could not create a primitive"),
    getattr(torch, "AcceleratorError", RuntimeError)("CUDA error: out of memory"),
])
def test_allocators_are_understood(error):
    assert is_out_of_memory(error)


@pytest.mark.parametrize("error", [
    RuntimeError("shape '[3]' is invalid"), ValueError("out of memory of mine"),
    Diverged("a weight became non-finite; the last good checkpoint is runs/allocation/out of memory/last.pt"),
])
def test_others_are_not(error):
    assert not is_out_of_memory(error)


def test_a_diverged_run_in_a_folder_named_allocation_exits_3(capsys):
    def diverge():
        raise Diverged("the loss became non-finite; the last good checkpoint is runs/allocation/last.pt")

    assert exit_code(diverge) == 3 and "runs/allocation" in capsys.readouterr().err


def test_a_real_allocation_that_fails_is_understood():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**55)
    assert is_out_of_memory(caught.value)
