"""A pickle program followed without running it (`torchfile.py` finds it in a checkpoint).

A pickle is a program. This reader never hands it to an unpickler: `pickletools.genops` disassembles it,
and a stack machine of about thirty opcodes, written out below, follows it with inert values. A global is
a *name* here and stays one: nothing is imported, looked up or called, whatever the name is. Three
families of names mean something, and are replaced by functions of this file and `storages.py`: torch's tensor
rebuilders, its storage types, and the containers OrderedDict and torch.Size. Every other object (Lightning's
hyper-parameters, argparse.Namespace, omegaconf, `os.system`) becomes a `Foreign`, which holds its name
and takes whatever is done to it. A module of TorchScript becomes the table of its attributes: its tensors and the
modules inside it; its code lies in other entries of the file, which are not opened.

Why not `weights_only=True` alone: it refuses checkpoints with foreign objects, calls whatever some
package has put on torch's list of safe globals, and bounds neither compressed entries nor strides.
"""

import pickletools
import re
from collections.abc import Callable
from typing import Any, BinaryIO

from sslseg.models.importers.storages import DTYPES, Foreign, RefusedError, Storages

PICKLE_LIMIT = 16 << 20  # bytes of program; a ResNet-50 with optimiser takes 0.1 MB
LONG = f"a pickle of more than {PICKLE_LIMIT:,} bytes (are its weights arrays of NumPy? save them as tensors)"
KEYS = (str, int, float, bool, bytes, type(None))  # hashed in constant time, unlike nested tuples


class Scripted(dict):
    """The attributes of a TorchScript module by their names."""


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


def named(name: str) -> Foreign:
    """A global that is none of the known means of running something. Raises HostileError: it is one."""
    if is_hostile(name):
        raise HostileError(name)
    return Foreign(name)


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
        self.push(self.call(function.name, args))

    def call(self, name: str, args: tuple) -> Any:
        """What a global gives that is called."""
        if name.startswith("__torch__."):
            return Scripted()
        return CALLS[name](self, args) if name in CALLS else Foreign(name)

    def retyped(self, args: tuple) -> Any:
        """An untyped storage, offset, size, stride, requires_grad, hooks, dtype."""
        dtype = DTYPES.get(getattr(args[6], "name", ""))
        return self.storages.rebuild(args[0].view(dtype), *args[1:4]) if dtype else Foreign("torch.dtype")

    def another_pickle(self, _: tuple) -> Any:
        raise RefusedError("it holds another pickle, which may be hostile (pickled without torch.save)")

    def attribute(self, args: tuple) -> Any:
        known = isinstance(args[0], Foreign) and isinstance(args[1], str)
        return named(f"{args[0].name}.{args[1]}") if known else Foreign("builtins.getattr")

    def build(self, _: Any) -> None:
        """The state of an object is left where it is, but for that of a module of TorchScript."""
        (state,) = self.last(1)
        if isinstance(self.stack[-1], Scripted) and isinstance(state, dict):
            self.stack[-1].update(state)

    def extend(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)

    def update(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], dict):
            pairs = zip(items[::2], items[1::2], strict=True)
            self.stack[-1].update((key, value) for key, value in pairs if isinstance(key, KEYS))


CALLS: dict[str, Callable[[Machine, tuple], Any]] = {
    **dict.fromkeys(("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"),
                    lambda m, args: m.storages.rebuild(*args[:4])),
    **dict.fromkeys(("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"),
                    lambda m, args: args[0]),
    "torch._utils._rebuild_tensor_v3": Machine.retyped,
    # of a tensor with attributes: function, type, arguments, state
    "torch._tensor._rebuild_from_type_v2": lambda m, args: m.call(args[0].name, args[2]),
    "torch.storage._load_from_bytes": Machine.another_pickle,
    "collections.OrderedDict": lambda m, args: {},
    "builtins.getattr": Machine.attribute,
    "torch.Size": lambda m, args: tuple(args[0]),
}  # fmt: skip
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
    "BUILD": Machine.build,
}
