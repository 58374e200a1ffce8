"""Checkpoints that are torn, cut, flipped or half written must not be taken for whole ones."""

import os

import pytest
import torch
from safetensors.torch import save_file
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
    assert len(list(folder.iterdir())) == 2
    (folder / "step-0000000100.safetensors").unlink()
    assert same(checkpoint.latest(folder), 10)
    save(folder, 100)
    assert same(checkpoint.latest(folder), 100)


def flip(file, at):
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


DAMAGE = {
    "cut": lambda file: os.truncate(file, file.stat().st_size - 1),
    "empty": lambda file: os.truncate(file, 0),
    "longer": lambda file: file.write_bytes(file.read_bytes() + b"x"),
    "bit of header": lambda file: flip(file, 20),
    "bit of data": lambda file: flip(file, -1),
    "not ours": lambda file: save_file({"a": torch.zeros(3)}, file),
    "step changed": lambda file: file.write_bytes(
        file.read_bytes().replace(b'"step\\": 20', b'"step\\": 21')
    ),
    "meta changed": lambda file: file.write_bytes(file.read_bytes().replace(b"0.5", b"0.6")),
    "names changed": lambda file: file.write_bytes(
        file.read_bytes().replace(b'"view"', b'"veiw"').replace(b'"none"', b'"nine"')
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_the_one_before_is_used(tmp_path, damage):
    save(tmp_path, 10, 20)
    newest = tmp_path / "step-0000000020.safetensors"
    before = newest.read_bytes()
    DAMAGE[damage](newest)
    assert newest.read_bytes() != before
    said = []
    assert same(checkpoint.latest(tmp_path, warn=said.append), 10)
    assert len(said) == 1
    assert str(newest) in said[0]


def test_every_bit_counts(tmp_path):
    file = checkpoint.save(tmp_path, 20, {"a": torch.arange(5.0), "b": torch.ones(2, 2)}, {"curve": [0.5]})
    whole = file.read_bytes()
    for at in range(len(whole)):
        flip(file, at)
        found = checkpoint.latest(tmp_path)
        assert (
            found is None
            or found.meta == {"curve": [0.5]}
            and torch.equal(found.tensors["a"], torch.arange(5.0))
        )
        file.write_bytes(whole)


def test_a_digest_is_also_of_names_types_and_shapes():
    zeros = torch.zeros(2, 4)
    others = [{"a": zeros}, {"b": zeros}, {"a": zeros.reshape(4, 2)}, {"a": zeros.int()}]
    assert len({checkpoint._digest("", tensors) for tensors in others}) == 4


def test_nothing_whole_is_none(tmp_path):
    save(tmp_path, 10)
    os.truncate(tmp_path / "step-0000000010.safetensors", 5)
    assert checkpoint.latest(tmp_path) is None


def test_killed_in_the_middle_of_a_write(tmp_path, monkeypatch):
    """Stop before the rename."""
    save(tmp_path, 10)

    def stop(part, target):
        raise KeyboardInterrupt

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
    (tmp_path / "step-0000000020.safetensors").write_bytes(b"damaged")
    (tmp_path / "step-0000000015.json").write_bytes(b"{")
    (tmp_path / ".part-0123456789ab-step-0000000015.safetensors").write_bytes(b"{")
    assert same(checkpoint.latest(tmp_path), 10)
    save(tmp_path, 15)
    assert sorted(f.name for f in tmp_path.iterdir()) == [f"step-00000000{n}.safetensors" for n in (10, 15)]


def test_a_full_disk_leaves_the_older_ones(tmp_path, monkeypatch):
    save(tmp_path, 10)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OSError, match="No space"):
        save(tmp_path, 20)
    assert same(checkpoint.latest(tmp_path), 10)
    assert len(list(tmp_path.iterdir())) == 1


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
