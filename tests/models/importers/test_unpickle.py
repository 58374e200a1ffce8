"""A pickle is followed with inert values: what it names is never resolved, called or allocated unseen."""

from __future__ import annotations

import argparse
import copy
import io
import pickle
import struct
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from sslseg.config import params
from sslseg.config.names import EncoderError
from sslseg.models.importers import checkpoint, imports, storages, torchfile, unpickle

STATE = {"layer.weight": torch.arange(6.0).reshape(2, 3), "layer.bias": torch.ones(2, dtype=torch.float16)}
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"


class Evil:
    """Pickles as the call of `function(*args)`."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


class EvilState:
    """Pickles with a state, so that unpickling would call `__setstate__`."""

    def __setstate__(self, state):
        Path(state["canary"]).touch()

    def __getstate__(self):
        return self.__dict__


def with_program(path: Path, program: bytes, **entries: bytes) -> Path:
    """A zip checkpoint around a hand-written pickle."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        for name, content in entries.items():
            archive.writestr(f"archive/data/{name.removeprefix('_')}", content)
    return path


def short(text: str) -> bytes:
    return b"\x8c" + bytes([len(text)]) + text.encode()


def programs(canary: Path) -> dict[str, bytes]:
    """Pickles that create `canary` when they are unpickled, one a mechanism."""
    import os

    touch = f"open({str(canary)!r}, 'w').close()"
    shell = f"touch {canary}"
    state = EvilState()
    state.canary = str(canary)
    call, python = (b"X" + struct.pack("<I", len(t)) + t.encode() + b"\x85R." for t in (shell, touch))
    return {
        "os.system": pickle.dumps({"state_dict": Evil(os.system, shell)}, 2),
        "eval": pickle.dumps({"state_dict": {"w": Evil(eval, touch)}}, 2),
        "exec, nested": pickle.dumps({"a": [({"b": (Evil(exec, touch),)},)]}, 2),
        "protocol 5": pickle.dumps(OrderedDict(a=Evil(exec, touch)), 5),
        "protocol 0": pickle.dumps(Evil(exec, touch), 0),
        "GLOBAL posix.system": b"\x80\x02cposix\nsystem\n" + call,
        "STACK_GLOBAL": b"\x80\x04" + short("posix") + short("system") + b"\x93" + call,
        "STACK_GLOBAL, dotted": b"\x80\x04" + short("builtins") + short("exec.__call__") + b"\x93" + python,
        "INST": b"(S'" + shell.encode() + b"'\niposix\nsystem\n.",
        "OBJ": b"(cposix\nsystem\nS'" + shell.encode() + b"'\no.",
        "EXT1": b"\x80\x02\x82\x01" + call,
        "EXT4": b"\x80\x02\x84\x01\x00\x00\x00" + call,
        "BUILD": pickle.dumps({"x": state}, 2),
        "BUILD on a rebuilder": b"\x80\x04" + REBUILD + b"N}" + short("__defaults__") + b"Ns\x86b.",
        "NEWOBJ": b"\x80\x04csubprocess\nPopen\n" + short(shell) + b"\x85\x81.",
        "REDUCE of a tensor": b"\x80\x02K\x01)R.",
        "PERSID": b"\x80\x02Pstorage\n.",
    }  # fmt: skip


NAMES = tuple(programs(Path("x")))
# Aimed at this reader, or without effect in a bare interpreter; all others are shown to be armed.
UNARMED = ("EXT1", "EXT4", "PERSID", "REDUCE of a tensor", "BUILD on a rebuilder", "NEWOBJ")


@pytest.mark.parametrize("name", NAMES)
def test_malicious_programs_touch_nothing(name, tmp_path):
    canary, program = tmp_path / "canary", programs(tmp_path / "canary")[name]
    files = {
        "zip": with_program(tmp_path / "zip.pth", program),
        "legacy": tmp_path / "legacy.ckpt",
        "bare": tmp_path / "bare.pth.tar",
        "safetensors": tmp_path / "bare.safetensors",
    }
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2)
    files["legacy"].write_bytes(magic + program + pickle.dumps([], 2))
    files["bare"].write_bytes(program)
    files["safetensors"].write_bytes(program)
    for file in files.values():
        for role in ("", *params.NETWORKS):
            with pytest.raises(EncoderError):
                checkpoint.read(file, architecture="test_resnet", role=role)
        with pytest.raises(EncoderError):
            imports.fetch(f"file:{file}", origin="a stranger")
    assert not canary.exists()
    if name not in UNARMED:
        pickle.loads(program)
        assert canary.exists()


def test_nothing_is_imported_for_a_name(tmp_path):
    path = with_program(tmp_path / "a.pth", b"\x80\x02cantigravity\nfly\n)R.")
    assert torchfile.read(path) == unpickle.Foreign("antigravity.fly")
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("how", [{}, {"_use_new_zipfile_serialization": False}], ids=["zip", "legacy"])
def test_reads_what_torch_reads(how, tmp_path):
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    content = {
        "state_dict": net.state_dict(), "parameters": list(net.parameters()), "epoch": 3, "lr": 0.1,
        "view": torch.arange(12.0).reshape(3, 4)[1:, ::2].t(), "empty": torch.empty(0, 3),
        "half": STATE["layer.bias"], "bf16": torch.ones(2, dtype=torch.bfloat16), "yes": torch.tensor([True]),
        "none": None, "big": 2**70,
    }  # fmt: skip
    torch.save(content, tmp_path / "a.pth", **how)
    wanted = torch.load(tmp_path / "a.pth", weights_only=True, map_location="cpu")
    got = torchfile.read(tmp_path / "a.pth")
    torch.testing.assert_close(got.pop("state_dict"), dict(wanted.pop("state_dict")), rtol=0, atol=0)
    for mine, theirs in zip(got.pop("parameters"), wanted.pop("parameters"), strict=True):
        assert torch.equal(mine, theirs)
    tensors = {k: v for k, v in wanted.items() if isinstance(v, torch.Tensor)}
    assert all(got[k].dtype == v.dtype and torch.equal(got[k], v) for k, v in tensors.items())
    assert {k: v for k, v in got.items() if k not in tensors} == {
        "epoch": 3,
        "lr": 0.1,
        "none": None,
        "big": 2**70,
    }


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])  # weights_only=True knows 2 alone
def test_foreign_objects_become_names_and_tensors_survive(protocol, tmp_path):
    content = {"state_dict": STATE, "hyper_parameters": argparse.Namespace(lr=1, path=Path("x")), "s": {1, 2}}
    torch.save(content, tmp_path / "a.ckpt", pickle_protocol=protocol)
    got = torchfile.read(tmp_path / "a.ckpt")
    assert got["hyper_parameters"] == unpickle.Foreign("argparse.Namespace")
    assert all(torch.equal(got["state_dict"][name], tensor) for name, tensor in STATE.items())


def rebuild(size: str, numel: int = 4, offset: int = 0, stride: str = "K\x01\x85") -> bytes:
    """{"w": a tensor}, with size and stride as raw opcodes."""
    storage = b"(" + short("storage") + b"ctorch\nFloatStorage\n" + short("0") + short("cpu")
    storage += b"J" + struct.pack("<i", numel) + b"tQ"
    shape = b"J" + struct.pack("<i", offset) + size.encode("latin1") + stride.encode("latin1")
    return b"\x80\x04}" + short("w") + REBUILD + b"(" + storage + shape + b"\x89NtRs."


@pytest.mark.parametrize(
    ("program", "entries"),
    {
        "more elements declared than stored": (rebuild("K\x04\x85", numel=1 << 30), {"_0": bytes(16)}),
        "fewer elements declared than stored": (rebuild("K\x02\x85", numel=2), {"_0": bytes(16)}),
        "view beyond the end": (rebuild("K\x05\x85"), {"_0": bytes(16)}),
        "offset beyond the end": (rebuild("K\x02\x85", offset=3), {"_0": bytes(16)}),
        "negative offset": (rebuild("K\x01\x85", offset=-1), {"_0": bytes(16)}),
        "2^31 by stride 0": (rebuild("J\xff\xff\xff\x7f\x85", stride="K\x00\x85"), {"_0": bytes(16)}),
        "negative stride": (rebuild("K\x02\x85", stride="J\xff\xff\xff\xff\x85"), {"_0": bytes(16)}),
        "storage absent": (rebuild("K\x04\x85"), {}),
        "program without end": (b"\x80\x02}", {}),
        "stack underflow": (b"\x80\x02R.", {}),
        "unknown memo": (b"\x80\x02h\x07.", {}),
    }.values(),
)  # fmt: skip
def test_sizes_are_checked_before_they_are_believed(program, entries, tmp_path):
    good = torchfile.read(with_program(tmp_path / "good.pth", rebuild("K\x04\x85"), _0=bytes(16)))
    assert torch.equal(good["w"], torch.zeros(4))
    with pytest.raises(EncoderError, match=r"bad\.pth"):
        torchfile.read(with_program(tmp_path / "bad.pth", program, **entries))


def test_a_view_stays_inside_its_storage_and_all_of_them_within_four_times_the_file():
    made = storages.Storages(lambda key, dtype, numel: torch.zeros(numel, dtype=dtype), size=1 << 20)
    flat = made.find(("storage", storages.Foreign("torch.FloatStorage"), "0", "cpu", 1 << 18))
    for offset, size, stride in (
        (1, (1 << 18,), (1,)),
        (0, (-1,), (1,)),
        (-1, (1,), (1,)),
        (0, (2,), (1 << 18,)),
    ):
        with pytest.raises(storages.RefusedError):
            made.rebuild(flat, offset, size, stride)
    made = storages.Storages(lambda *_: flat, size=1 << 20)
    for _ in range(5):  # four times the file, and a megabyte
        made.rebuild(flat, 0, (1 << 18,), (1,))
    with pytest.raises(storages.RefusedError):
        made.rebuild(flat, 0, (1 << 18,), (1,))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda old: old[:-4], "with 4 elements instead of 4, or cut short"),
        (lambda old: old[:-24] + (5).to_bytes(8, "little") + old[-16:], "with 5 elements instead of 4"),
        (lambda old: old.replace(b"K\x04N", b"J\xff\xff\xff\x0fN"), "with 268435455 elements in a file of"),
    ],
    ids=["cut short", "another number", "larger than its file"],
)
def test_old_files_that_lie_about_a_storage_are_refused(change, said, tmp_path):
    path = tmp_path / "old.pth"  # ends with eight bytes of count and sixteen of numbers
    torch.save({"a": torch.arange(4.0)}, path, _use_new_zipfile_serialization=False)
    assert torchfile.read(path)["a"].tolist() == [0, 1, 2, 3]
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(EncoderError, match=said):
        torchfile.read(path)


def test_entries_that_lie_over_each_other_are_refused(tmp_path):
    """Together they would take more memory than the file has bytes."""
    path = tmp_path / "over.pth"
    torch.save({"a": torch.arange(4000.0)}, path)
    with zipfile.ZipFile(path, "a") as archive:
        (entry,) = (e for e in archive.infolist() if e.filename.endswith("/data/0"))
        for k in range(1, 4):
            again = copy.copy(entry)
            again.filename = f"{entry.filename[:-1]}{k}"
            archive.filelist.append(again)
            archive.NameToInfo[again.filename] = again
        archive._didModify = True
    with pytest.raises(EncoderError, match="overlapping entries"):
        torchfile.read(path)


def test_keys_are_hashed_in_constant_time(tmp_path):
    """{t60: 1} with t(n) = (t(n-1), t(n-1)): hashing it takes 2^60 steps."""
    doubled = b"".join(b"q" + bytes([n]) + b"h" + bytes([n]) + b"\x86" for n in range(60))
    program = b"\x80\x02})" + doubled + b"K\x01s."
    assert torchfile.read(with_program(tmp_path / "a.pth", program)) == {}


def test_bombs_and_damage_are_refused(tmp_path):
    torch.save(STATE, tmp_path / "a.pth")
    raw = (tmp_path / "a.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(raw[: len(raw) // 2])
    flipped = bytearray(raw)
    flipped[raw.index(struct.pack("<6f", *range(6))) + 8] ^= 1
    (tmp_path / "flipped.pth").write_bytes(flipped)
    with (
        zipfile.ZipFile(io.BytesIO(raw)) as old,
        zipfile.ZipFile(tmp_path / "z.pth", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with_program(tmp_path / "long.pth", b"\x80\x02" + b"N" * (unpickle.PICKLE_LIMIT + 1) + b".")
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "greedy.pth").write_bytes(
        b"\x80\x05\x96" + struct.pack("<Q", 1 << 45) + b"."
    )  # 32 TiB, says it
    for name in ("cut", "flipped", "z", "long", "empty", "absent", "greedy"):
        with pytest.raises(EncoderError, match=name):
            torchfile.read(tmp_path / f"{name}.pth")


def test_no_torch_load_without_weights_only():
    root = Path(__file__).parents[3]
    files = [
        file
        for folder in root.iterdir()
        if not folder.name.startswith(".")
        for file in folder.glob("**/*.py")
    ]
    assert len(files) > 40
    for file in files:
        lines = [line for line in file.read_text().splitlines() if "torch." + "load(" in line]
        assert all("weights_only=True" in line for line in lines), file
