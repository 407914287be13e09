"""A second device for machines that have one: tensors that say they are elsewhere, with their numbers on the CPU.

An operation that takes tensors from both sides is refused, as a GPU refuses it, and so is a random one whose generator
lives on the other side. Whatever makes the host wait for a GPU is written down, or refused too: reading a number,
picking rows by a mask, copying from one side to the other.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

ELSEWHERE = torch.device("lazy:0")
"""A kind of device that torch knows by name and that no operation here has a kernel for."""

CROSSING = {"_to_copy", "copy_"}
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}
READING = {"_local_scalar_dense", "equal", "_linalg_check_errors"}
COUNTING = {"nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "bincount"}
"""The size of their answer depends on numbers that the device has yet to compute."""
WHOLE = {"cat", "stack", "mm", "bmm", "addmm", "baddbmm", "dot", "mv", "gather", "scatter", "index_select"}
"""Operations for which even a single number must be on their side; others take one from the CPU along."""


class MixedDevices(RuntimeError):
    """An operation was given tensors of both devices."""


class Stop(RuntimeError):
    """The host would have waited for the device."""


class OnDevice(Tensor):
    """A tensor that lives elsewhere; `numbers` are what it holds."""

    numbers: Tensor

    @staticmethod
    def __new__(cls, numbers: Tensor) -> "OnDevice":
        made = torch.Tensor._make_wrapper_subclass(
            cls, numbers.shape, strides=numbers.stride(), dtype=numbers.dtype, device=ELSEWHERE
        )
        made.numbers = numbers
        return made

    def __init__(self, numbers: Tensor) -> None:
        pass

    def __repr__(self, **_: Any) -> str:
        return f"elsewhere: {self.numbers!r}"

    def __deepcopy__(self, memo: dict) -> "OnDevice":
        copy = OnDevice(self.numbers.detach().clone()).requires_grad_(self.requires_grad)
        copy._is_param = getattr(self, "_is_param", False)
        return memo.setdefault(id(self), copy)

    def tolist(self) -> Any:
        return self.cpu().tolist()

    @property
    def data(self) -> Tensor:
        return self.detach()

    @data.setter
    def data(self, other: "OnDevice") -> None:
        self.numbers = other.numbers

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        raise AssertionError(f"{func} outside of its device")


class OtherGenerator(torch.Generator):
    """A stream of random numbers of the second device; torch hands on its state alone, so the seed says whose it is."""

    MARK = 1 << 63

    @property
    def device(self) -> torch.device:
        return ELSEWHERE


class SecondDevice(TorchDispatchMode):
    """The device, while it is there.

    Attributes:
        stops: the operations at which the host would have waited, by name.
        strict: whether such an operation is refused.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stops: list[str] = []
        self.strict = False

    @contextmanager
    def without_a_stop(self) -> Iterator[None]:
        """Where a stop is an error, with a traceback to the line that stops."""
        self.strict, before = True, self.strict
        try:
            yield
        finally:
            self.strict = before

    def generator(self, seed: int = 0) -> torch.Generator:
        """A stream whose draws live here."""
        stream = OtherGenerator()
        stream.manual_seed(OtherGenerator.MARK | seed)
        return stream

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        name, kwargs = func._schema.name.removeprefix("aten::"), dict(kwargs or {})
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        here = any(isinstance(tensor, OnDevice) for tensor in tensors)
        if name == "device":  # of a tensor, which torch asks by this operation
            return args[0].device if not here else ELSEWHERE
        asked = kwargs.get("device")
        lands_here = here if asked is None else asked.type == ELSEWHERE.type
        self._check(name, func, tensors, args, kwargs, here=here, lands_here=lands_here)
        if asked is not None:
            kwargs["device"] = torch.device("cpu")
        plain_args, plain_kwargs = tree_map(_plain, (args, kwargs))
        found = func(*plain_args, **plain_kwargs)
        changed = _changed(func, args, kwargs)
        if changed is not None:
            return changed
        if name == "_local_scalar_dense":
            return found
        return tree_map(lambda v: OnDevice(v) if isinstance(v, Tensor) and lands_here else v, found)

    def _check(
        self, name: str, func: Any, tensors: list, args: tuple, kwargs: dict, *, here: bool, lands_here: bool
    ) -> None:
        generator = kwargs.get("generator") or next((a for a in args if isinstance(a, torch.Generator)), None)
        if generator is not None and bool(generator.initial_seed() & OtherGenerator.MARK) != lands_here:
            raise MixedDevices(f"{func}: a generator of one device for numbers of the other")
        crossing = name == "_to_copy" and here != lands_here
        away = [t for t in tensors if not isinstance(t, OnDevice)]
        if here and away:
            if name == "copy_":
                crossing = True
            elif name in INDEXING and not isinstance(args[1], OnDevice):
                crossing = isinstance(args[0], OnDevice)
                if not crossing:
                    raise MixedDevices(f"{func}: indices that live elsewhere")
            elif name in WHOLE or any(t.ndim for t in away):
                shapes = [(("cpu", "elsewhere")[isinstance(t, OnDevice)], tuple(t.shape)) for t in tensors]
                raise MixedDevices(f"{func}: {shapes}")
        masked = name in INDEXING and any(t is not None and t.dtype == torch.bool for t in args[1])
        if masked and name != "index" and args[2].numel() == 1:
            masked = False  # a fill, which needs no count
        if crossing or (here and (name in READING | COUNTING or masked)):
            self.stops.append(name)
            if self.strict:
                raise Stop(f"{func} waits for the device")


def _plain(value: Any) -> Any:
    return value.numbers if isinstance(value, OnDevice) else value


def _changed(func: Any, args: tuple, kwargs: dict) -> Any:
    """What an operation in place, or with `out`, changed: its answer is the tensor itself."""
    for i, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            given = kwargs.get(argument.name, args[i] if i < len(args) else None)
            if isinstance(given, Tensor):
                return given
    return None


def applied(module: nn.Module, change: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
    """`Module._apply`, behind `to` and `double`: torch's own exchanges no tensor of one kind for one of another."""
    for part in module.modules() if recurse else (module,):
        for name, parameter in part._parameters.items():
            if parameter is not None:
                fresh = change(parameter.detach())
                part._parameters[name] = nn.Parameter(fresh, requires_grad=parameter.requires_grad)
        for name, buffer in part._buffers.items():
            part._buffers[name] = None if buffer is None else change(buffer)
    return module


@contextmanager
def second_device() -> Iterator[SecondDevice]:
    """The second device, for the length of a block."""
    own, lifted = nn.Module._apply, torch._C._only_lift_cpu_tensors()
    nn.Module._apply = applied
    torch._C._set_only_lift_cpu_tensors(True)  # so that `torch.tensor(1.0, device=…)` shows its copy
    try:
        with SecondDevice() as device:
            yield device
    finally:
        nn.Module._apply = own
        torch._C._set_only_lift_cpu_tensors(lifted)
