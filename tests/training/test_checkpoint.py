"""Checkpoints that are torn, cut, flipped or half written must not be taken for whole ones."""

import json
import os

import pytest
import torch
from torch import nn

from sslseg.training import checkpoint, optim


def tensors(step):
    draw = torch.Generator().manual_seed(step)
    shared = torch.randn(4, 3, 2, 2, generator=draw)
    return {
        "weight": shared.to(memory_format=torch.channels_last),
        "view": shared[:2],  # shares memory with the one before
        "count": torch.tensor(step),
        "half": torch.ones(3, dtype=torch.bfloat16),
        "none": torch.empty(0),
    }


def same(found, step):
    assert found.step == step
    assert found.tensors.keys() == tensors(step).keys()
    assert all(torch.equal(found.tensors[k], v) for k, v in tensors(step).items())
    assert found.meta == {"curve": [[step, 0.5]], "best": None}
    return True


def save(folder, *steps):
    for step in steps:
        checkpoint.save(folder, step, tensors(step), {"curve": [(step, 0.5)], "best": None})


def test_round_trip_and_the_last_two_are_kept(tmp_path):
    folder = tmp_path / "new" / "folder"
    assert checkpoint.latest(folder) is None
    save(folder, 9, 10, 100)
    assert same(checkpoint.latest(folder), 100)
    assert len(list(folder.iterdir())) == 4
    (folder / "step-0000000100.json").unlink()
    assert same(checkpoint.latest(folder), 10)
    save(folder, 100)
    assert same(checkpoint.latest(folder), 100)


def flip(file, at):
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


DAMAGE = {
    "cut": lambda w, s: os.truncate(w, w.stat().st_size - 1),
    "empty": lambda w, s: os.truncate(w, 0),
    "gone": lambda w, s: w.unlink(),
    "longer": lambda w, s: w.write_bytes(w.read_bytes() + b"x"),
    "bit of header": lambda w, s: flip(w, 20),
    "bit of data": lambda w, s: flip(w, -1),
    "sidecar cut": lambda w, s: os.truncate(s, 30),
    "sidecar empty": lambda w, s: os.truncate(s, 0),
    "sidecar not text": lambda w, s: s.write_bytes(b"\xff\xfe"),
    "sidecar another thing": lambda w, s: s.write_text("[1]"),
    "step changed": lambda w, s: s.write_text(s.read_text().replace('"step": 20', '"step": 21')),
    "meta changed": lambda w, s: s.write_text(s.read_text().replace("0.5", "0.6")),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_the_one_before_is_used(tmp_path, damage):
    save(tmp_path, 10, 20)
    newest = tmp_path / "step-0000000020.safetensors"
    DAMAGE[damage](newest, newest.with_suffix(".json"))
    said = []
    assert same(checkpoint.latest(tmp_path, warn=said.append), 10)
    assert len(said) == 1
    assert str(newest) in said[0]


def test_every_bit_of_a_sidecar_counts(tmp_path):
    save(tmp_path, 20)
    sidecar = tmp_path / "step-0000000020.json"
    whole = sidecar.read_bytes()
    for at in range(0, len(whole), 7):
        flip(sidecar, at)
        found = checkpoint.latest(tmp_path)
        assert found is None or json.loads(sidecar.read_bytes()) == json.loads(whole)
        sidecar.write_bytes(whole)


def test_nothing_whole_is_none(tmp_path):
    save(tmp_path, 10)
    os.truncate(tmp_path / "step-0000000010.safetensors", 5)
    assert checkpoint.latest(tmp_path) is None


@pytest.mark.parametrize("kill_at", [1, 2])
def test_killed_in_the_middle_of_a_write(tmp_path, monkeypatch, kill_at):
    """Stop before the n-th rename: of the tensors, then of the sidecar."""
    save(tmp_path, 10)
    renames = []

    def stop(part, target):
        renames.append(target)
        if len(renames) == kill_at:
            raise KeyboardInterrupt
        os.replace(part, target)

    monkeypatch.setattr(checkpoint.Path, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, 20)
    monkeypatch.undo()
    assert same(checkpoint.latest(tmp_path), 10)
    save(tmp_path, 20)
    assert same(checkpoint.latest(tmp_path), 20)


def test_what_a_killed_writer_left_is_swept_up(tmp_path):
    save(tmp_path, 10)
    (tmp_path / "step-0000000020.safetensors.part").write_bytes(b"half")
    (tmp_path / "step-0000000020.safetensors").write_bytes(b"no sidecar yet")
    (tmp_path / "step-0000000015.json.part").write_bytes(b"{")
    (tmp_path / ".part-0123456789ab-step-0000000015.json").write_bytes(b"{")
    assert same(checkpoint.latest(tmp_path), 10)
    save(tmp_path, 15)
    assert sorted(f.name for f in tmp_path.iterdir()) == [
        f"step-00000000{n}.{kind}" for n in (10, 15) for kind in ("json", "safetensors")
    ]


def test_a_full_disk_leaves_the_older_ones(tmp_path, monkeypatch):
    save(tmp_path, 10)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OSError, match="No space"):
        save(tmp_path, 20)
    assert same(checkpoint.latest(tmp_path), 10)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("kind", ["lars", "adam"])
def test_optimiser_survives_the_disk(tmp_path, kind):
    def fresh():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 3))
        net.to(memory_format=torch.channels_last)
        named = [(f"net.{n}", p) for n, p in net.named_parameters()]
        if kind == "adam":
            return net, named, optim.adam(named, lr=0.1)
        return net, named, optim.lars(named, lr=0.1, momentum=0.9, weight_decay=1e-3, trust=0.02)

    def step(net, optimizer, n):
        x = torch.randn(5, 2, 3, 3, generator=torch.Generator().manual_seed(n))
        net(x).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    net, named, optimizer = fresh()
    for n in range(3):
        step(net, optimizer, n)
    flat = checkpoint.optimizer_tensors(optimizer, named)
    slots = {"lars": {"momentum_buffer"}, "adam": {"step", "exp_avg", "exp_avg_sq"}}[kind]
    assert flat.keys() == {f"optimizer.{name}.{slot}" for name, _ in named for slot in slots}
    checkpoint.save(tmp_path, 3, flat | {"w." + k: v for k, v in net.state_dict().items()}, {})

    other, other_named, other_optimizer = fresh()
    found = checkpoint.latest(tmp_path).tensors
    other.load_state_dict({k[2:]: v for k, v in found.items() if k.startswith("w.")})
    checkpoint.restore_optimizer(other_optimizer, other_named, found)
    for (_, p), (_, q) in zip(named, other_named, strict=True):
        for slot in slots:
            assert other_optimizer.state[q][slot].stride() == optimizer.state[p][slot].stride()
    for n in range(3, 5):
        step(net, optimizer, n)
        step(other, other_optimizer, n)
    assert all(torch.equal(p, q) for p, q in zip(net.parameters(), other.parameters(), strict=True))

    with pytest.raises(ValueError, match="no parameter 'gone'"):
        checkpoint.restore_optimizer(optimizer, named, {"optimizer.gone.step": torch.tensor(1.0)})
