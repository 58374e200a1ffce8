"""A pickle program followed without running it (`torchfile.py` finds it in a checkpoint).

A pickle is a program. This reader never hands it to an unpickler: `pickletools.genops` disassembles it,
and a stack machine of about thirty opcodes, written out below, follows it with inert values. A global is
a *name* here and stays one: nothing is imported, looked up or called, whatever the name is. Three
families of names mean something, and are replaced by functions of this file: torch's tensor rebuilders,
its storage types, and the containers OrderedDict and torch.Size. Every other object (Lightning's
hyper-parameters, argparse.Namespace, omegaconf, `os.system`) becomes a `Foreign`, which holds its name
and takes whatever is done to it.

Why not `weights_only=True` alone: it refuses checkpoints with foreign objects, calls whatever some
package has put on torch's list of safe globals, and bounds neither compressed entries nor strides.
"""

from __future__ import annotations

import math
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

import torch

PICKLE_LIMIT = 16 << 20  # bytes of program; a ResNet-50 with optimiser takes 0.1 MB
LONG = f"a pickle of more than {PICKLE_LIMIT:,} bytes (are its weights arrays of NumPy? save them as tensors)"
TENSOR_LIMIT = 4  # tensors may name at most this many times the bytes of the file (tied weights: 2)
SLACK = 1 << 20  # bytes, for small files
MAX_DIMENSIONS = 16  # convolution weights have 4
KEYS = (str, int, float, bool, bytes, type(None))  # hashed in constant time, unlike nested tuples

_STORAGES = {
    "FloatStorage": torch.float32, "DoubleStorage": torch.float64, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool, "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128, "UntypedStorage": torch.uint8,
}  # fmt: skip
STORAGES = {f"{m}.{n}": d for n, d in _STORAGES.items() for m in ("torch", "torch.storage", "torch.cuda")}
DTYPES = {f"torch.{n}": getattr(torch, n) for n in ("uint16", "uint32", "uint64", "float32", "float16")}


@dataclass(frozen=True)
class Foreign:
    """A global, or an object made from one: its name, and nothing else."""

    name: str


class RefusedError(Exception):
    """The program is not one that torch.save writes."""


class HostileError(RefusedError):
    """The program names what no checkpoint needs, and what runs commands or code."""


# Known means of running something. Nothing here rests on the list being whole: no name is ever looked up.
HOSTILE = re.compile(
    # whatever is called of these
    r"(os|posix|nt|subprocess|sys|socket|pty|shutil|ctypes|runpy|importlib|webbrowser|pip|code|codeop|pdb|bdb|timeit|profile|"
    r"cProfile|trace|asyncio|multiprocessing|commands|popen2|marshal|pydoc|ensurepip|venv|http|urllib|ftplib|requests|"
    r"smtplib|telnetlib|pkgutil|cgitb|doctest|distutils|setuptools)\."
    r"|(builtins|__builtins?__|io|_io)\.(eval|exec|execfile|compile|open|__import__|input|breakpoint)$"
    # a module that another one has imported
    r"|.+\.(os|posix|nt|subprocess|sys|builtins|__builtins?__|ctypes|importlib)\."
    # what opens another pickle, or makes a function of bytes
    r"|(pickle|_pickle|cloudpickle|dill(\._dill)?|joblib(\.\w+)?|torch(\.\w+)?|numpy(\.\w+)*|pandas(\.\w+)*)\.(_?loads?|read_pickle)$"
    r"|types\.(Function|Code|Lambda)Type$|operator\.(attrgetter|methodcaller)$|(numpy|torch|test)\..*\.(runstring|run_command|myeval)$"
)


def is_hostile(name: str) -> bool:
    """Whether a global, as `posix.system`, runs commands or code when it is called."""
    return bool(HOSTILE.match(re.sub(r"\.(__call__|__func__|__wrapped__)(?=\.|$)", "", name)))


# ---------------------------------------------------------------- tensors from flat storages
class Storages:
    """Flat tensors by key; how they are filled is the container's business."""

    def __init__(self, allocate: Callable[[str, torch.dtype, int], torch.Tensor], size: int):
        self.flat: dict[str, torch.Tensor] = {}
        self._allocate = allocate
        self._left = TENSOR_LIMIT * size + SLACK

    def find(self, pid: Any) -> torch.Tensor | Foreign:
        """The flat tensor of a persistent ID ("storage", type, key, location, numel[, view])."""
        if isinstance(pid, tuple) and len(pid) == 4 and pid[0] == "module" and isinstance(pid[1], Foreign):
            return pid[1]  # until torch 1.5 the source text of a class went along
        if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage":
            raise RefusedError("a persistent ID that is not a storage")
        kind, key, numel = pid[1], pid[2], pid[4]
        dtype = STORAGES.get(kind.name) if isinstance(kind, Foreign) else None
        if dtype is None or not isinstance(key, str) or not _is_count(numel) or (len(pid) == 6 and pid[5]):
            raise RefusedError(
                f"a storage of type {getattr(kind, 'name', '?')} with {numel!r:.40} elements (quantised?)"
            )
        if key not in self.flat:
            self.flat[key] = self._allocate(key, dtype, numel)
        return self.flat[key]

    def rebuild(self, flat: Any, offset: Any, size: Any, stride: Any) -> torch.Tensor:
        """A view of a flat tensor that stays inside it."""
        counts = [*size, *stride, offset]
        sane = len(size) == len(stride) <= MAX_DIMENSIONS and all(map(_is_count, counts))
        if not isinstance(flat, torch.Tensor) or not sane:
            raise RefusedError("a tensor without storage, or with a strange shape")
        numel = math.prod(size)
        last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
        self._left -= numel * flat.element_size()
        if numel and (last >= flat.numel() or self._left < 0):
            raise RefusedError(f"a tensor of shape {list(size)[:8]} in a storage of {flat.numel()} elements")
        return flat.as_strided(size, stride, offset)

    def call(self, name: str, args: tuple) -> Any:
        """What REDUCE of a global gives."""
        if name in ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"):
            return self.rebuild(*args[:4])
        if name == "torch._utils._rebuild_tensor_v3":  # (untyped storage, …, requires_grad, hooks, dtype)
            dtype = DTYPES.get(getattr(args[6], "name", ""))
            return self.rebuild(args[0].view(dtype), *args[1:4]) if dtype else Foreign(name)
        if name in ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"):
            return args[0]
        if (
            name == "torch._tensor._rebuild_from_type_v2"
        ):  # (function, type, arguments, state): it has attributes
            return self.call(args[0].name, args[2])
        if name == "torch.storage._load_from_bytes":
            raise RefusedError("it holds another pickle, which may be hostile (pickled without torch.save)")
        if name == "collections.OrderedDict":
            return {}
        if name == "builtins.getattr" and isinstance(args[0], Foreign) and isinstance(args[1], str):
            return named(f"{args[0].name}.{args[1]}")
        return tuple(args[0]) if name == "torch.Size" else Foreign(name)


def named(name: str) -> Foreign:
    """A global that is none of the known means of running something.

    Raises:
        HostileError: it is one.
    """
    if is_hostile(name):
        raise HostileError(name)
    return Foreign(name)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 48


# ---------------------------------------------------------------- the stack machine
class Machine:
    """Follows one pickle program. Every opcode is written here; any other is refused."""

    def __init__(self, storages: Storages):
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.storages = storages

    def run(self, stream: BinaryIO) -> Any:
        start = stream.tell()
        for opcode, arg, position in pickletools.genops(stream):
            if (position or 0) - start > PICKLE_LIMIT:
                raise RefusedError(LONG)
            if opcode.name not in OPCODES:
                raise RefusedError(f"opcode {opcode.name}")
            OPCODES[opcode.name](self, arg)
        return self.stack.pop()

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def mark(self, _: Any) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def frozen(self, _: Any) -> None:
        self.since_mark()
        self.push(Foreign("builtins.frozenset"))

    def last(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise IndexError
        return [self.stack.pop() for _ in range(count)][::-1]

    def table(self, _: Any) -> None:
        items = self.since_mark()
        self.push({})
        self.update(items)

    def put(self, key: int) -> None:
        self.memo[key] = self.stack[-1]

    def name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise RefusedError("a global whose name is not text")
        self.push(named(f"{module}.{name}"))

    def instance(self, arguments: list[Any]) -> None:
        self.stack += [arguments[0], tuple(arguments[1:])]
        self.reduce(None)

    def reduce(self, _: Any) -> None:
        function, args = self.last(2)
        if not isinstance(function, Foreign) or not isinstance(args, tuple):
            raise RefusedError("a call of something that is not a name")
        self.push(self.storages.call(function.name, args))

    def extend(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)

    def update(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], dict):
            pairs = zip(items[::2], items[1::2], strict=True)
            self.stack[-1].update((key, value) for key, value in pairs if isinstance(key, KEYS))


_LITERALS = ("INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 STRING "
             "SHORT_BINSTRING BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8")  # fmt: skip
OPCODES: dict[str, Callable[[Machine, Any], Any]] = {
    **dict.fromkeys(_LITERALS.split(), Machine.push),
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda m, _: None),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), Machine.put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda m, key: m.push(m.memo[key])),
    "POP": lambda m, _: m.last(1),
    "POP_MARK": lambda m, _: m.since_mark(),
    "DUP": lambda m, _: m.push(m.stack[-1]),
    "NONE": lambda m, _: m.push(None),
    "NEWTRUE": lambda m, _: m.push(True),
    "NEWFALSE": lambda m, _: m.push(False),
    "EMPTY_TUPLE": lambda m, _: m.push(()),
    "EMPTY_LIST": lambda m, _: m.push([]),
    "EMPTY_DICT": lambda m, _: m.push({}),
    "EMPTY_SET": lambda m, _: m.push(Foreign("builtins.set")),
    "ADDITEMS": lambda m, _: m.since_mark(),
    "FROZENSET": Machine.frozen,
    "MARK": Machine.mark,
    "TUPLE": lambda m, _: m.push(tuple(m.since_mark())),
    "TUPLE1": lambda m, _: m.push(tuple(m.last(1))),
    "TUPLE2": lambda m, _: m.push(tuple(m.last(2))),
    "TUPLE3": lambda m, _: m.push(tuple(m.last(3))),
    "LIST": lambda m, _: m.push(m.since_mark()),
    "DICT": Machine.table,
    "APPEND": lambda m, _: m.extend(m.last(1)),
    "APPENDS": lambda m, _: m.extend(m.since_mark()),
    "SETITEM": lambda m, _: m.update(m.last(2)),
    "SETITEMS": lambda m, _: m.update(m.since_mark()),
    "MEMOIZE": lambda m, _: m.put(len(m.memo)),
    "GLOBAL": lambda m, text: m.name(*text.split(" ", 1)),
    "INST": lambda m, text: m.instance([named(text.replace(" ", ".", 1)), *m.since_mark()]),
    "OBJ": lambda m, _: m.instance(m.since_mark()),
    "STACK_GLOBAL": lambda m, _: m.name(*m.last(2)),
    "BINPERSID": lambda m, _: m.push(m.storages.find(m.last(1)[0])),
    "REDUCE": Machine.reduce,
    "NEWOBJ": Machine.reduce,
    "NEWOBJ_EX": lambda m, _: m.reduce(m.last(1)),  # without its keywords
    "BUILD": lambda m, _: m.last(1),  # the state of an object is left where it is
}
