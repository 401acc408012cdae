"""A GPU that is not there: tensors "on" it live on the CPU, marked; what a real one refuses is refused here.

Within `pretend_gpu()` a tensor asked for on "cuda" carries a mark on its storage, says that it is on cuda:0, and must
not meet an unmarked one in an operation (numbers and copies excepted), nor a generator of the other kind. Whatever
makes the CPU wait for a real device is counted.
"""

from contextlib import contextmanager
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map

from bayesgan.ensemble import ENGINES

GPU = torch.device("cuda", 0)
CPU = torch.device("cpu")
WAITING = {"item", "tolist", "numpy", "cpu", "nonzero", "__bool__", "__int__", "__float__", "__index__", "argwhere",
           "masked_select", "unique"}
COPIES = {"copy_", "to", "cpu", "cuda", "numpy", "__get__", "__set__", "set_", "untyped_storage", "data_ptr"}


class Generator(torch.Generator):
    """A CPU's generator that says where it was asked for."""

    def __new__(cls, device="cpu"):
        return super().__new__(cls, "cpu")

    def __init__(self, device="cpu"):
        self.marked = torch.device(device).type == "cuda"

    @property
    def device(self):
        return GPU if self.marked else CPU


class PretendGpu(TorchFunctionMode):
    """See the module. `waits` counts."""

    def __init__(self):
        super().__init__()
        self.marks, self.waits = {}, 0

    def marked(self, tensor):
        """Whether it is on the GPU; None inside vmap, where there is no storage to look at."""
        try:
            return tensor.untyped_storage()._cdata in self.marks
        except (RuntimeError, NotImplementedError):
            return None

    def mark(self, result):
        for tensor in tensors_in(result):
            with torch._C.DisableTorchFunction():
                try:
                    storage = tensor.untyped_storage()
                except (RuntimeError, NotImplementedError):
                    continue
            self.marks[storage._cdata] = storage  # kept, or another could get its address
        return result

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        keywords = dict(keywords or {})
        if function is torch.device:
            return function(*arguments, **keywords)
        name = getattr(function, "__name__", str(function))
        with torch._C.DisableTorchFunction():
            mine = [tensor for tensor in tensors_in((arguments, keywords))]
            states = [self.marked(tensor) for tensor in mine]
        if name == "__get__" and mine:
            return self.attribute(function, mine[0], states[0], arguments, keywords)
        device = wanted_device(arguments, keywords)
        on = any(states)
        if name in WAITING and on:
            self.waits += 1
        slices = name == "__setitem__" and not tensors_in(arguments[1])  # which copies
        if name not in COPIES and on and not slices:
            allowed = tensors_in(arguments[1]) if name in ("__getitem__", "__setitem__") else []  # an index may be
            strangers = [t for t, state in zip(mine, states)
                         if state is False and t.dim() > 0 and not any(t is one for one in allowed)]
            if strangers and name != "backward":
                raise RuntimeError(f"{name}: tensors on cuda:0 and on cpu, of shape {tuple(strangers[0].shape)}")
        source = keywords.get("generator")
        if source is not None and None not in states:
            where = device.type == "cuda" if device is not None else on
            if getattr(source, "marked", False) != where:
                raise RuntimeError(f"{name}: a generator of the other device")
        arguments = tree_map(to_cpu, arguments)
        keywords = {key: to_cpu(value) for key, value in keywords.items()}
        result = function(*arguments, **keywords)
        if name in ("to", "cuda", "cpu"):
            target = GPU if name == "cuda" else CPU if name == "cpu" else device
            if target is not None and (target.type == "cuda") != on:
                result = result.clone()
                on = target.type == "cuda"
                if not on:
                    self.waits += name == "to"
        elif device is not None:
            on = device.type == "cuda"
        if name in ("numpy", "tolist", "item") or not on:
            return result
        return self.mark(result)

    def attribute(self, function, tensor, state, arguments, keywords):
        what = function.__self__.__name__
        if what == "device":
            return GPU if state else function(*arguments, **keywords)
        if what == "is_cuda":
            return bool(state)
        result = function(*arguments, **keywords)
        return self.mark(result) if state else result


def tensors_in(content):
    return [leaf for leaf in tree_flatten(content)[0] if isinstance(leaf, torch.Tensor)]


def is_device(value):
    if isinstance(value, torch.device):
        return True
    return isinstance(value, str) and value.split(":")[0] in ("cuda", "cpu")


def to_cpu(value):
    return CPU if is_device(value) and torch.device(value).type == "cuda" else value


def wanted_device(arguments, keywords):
    for value in (keywords.get("device"), *arguments):
        if is_device(value):
            return torch.device(value)
    return None


def following(engine, mode):
    """The engine; what it makes of marked inputs is marked, though vmap hides it."""
    def compute(network, weights, inputs):
        on = mode.marked(inputs)
        result = engine(network, weights, inputs)
        return mode.mark(result) if on else result

    return compute


@contextmanager
def pretend_gpu():
    """Within it there is one GPU; gives the mode that watches it."""
    mode, load = PretendGpu(), torch.load

    def loaded(*arguments, map_location=None, **keywords):
        content = load(*arguments, map_location="cpu", **keywords)
        on_gpu = map_location is not None and torch.device(map_location).type == "cuda"
        return mode.mark(content) if on_gpu else content

    engines = {name: following(ENGINES[name], mode) for name in ENGINES}
    with (
        mock.patch.dict(ENGINES._entries, engines),
        mock.patch.object(torch, "Generator", Generator),
        mock.patch.object(torch, "load", loaded),
        mock.patch.object(torch.cuda, "device_count", lambda: 1),
        mock.patch.object(torch.cuda, "get_device_name", lambda device=None: "a GPU that is not there"),
        mock.patch.object(torch.cuda, "get_device_capability", lambda device=None: (9, 0)),
        mock.patch.object(torch.cuda, "synchronize", lambda device=None: None),
        mock.patch.object(torch.cuda, "mem_get_info", lambda device=None: (2**36, 2**36)),
        mode,
    ):
        yield mode
