"""Every knob of every stage: presets that are whole, and the paper's constants pinned."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from unittest.mock import Mock

import psutil
import pytest

from sslseg.config import flags, mlproject, params, plugins
from sslseg.config.names import ParamError
from sslseg.config.params import machine
from sslseg.executors import local
from sslseg.training import devices

CLASSES = {name: cls for name, _, cls in mlproject.entry_points() if name != "main"}
GOVERNED = [(n, preset) for n, cls in CLASSES.items() for preset in flags.presets_of(cls)]
BYOL = plugins.load("methods", "byol").Params


def resolved(cls: type, **values):
    required = {
        f.name: "x"
        for f, meta, _ in flags.knobs(cls).values()
        if f.default is dataclasses.MISSING and meta.presets is None
    }
    return flags.resolve(flags.from_mapping(cls, required | values))


@pytest.mark.parametrize(("name", "preset"), GOVERNED)
def test_each_preset_fills_every_knob_that_it_governs(name: str, preset: str):
    cls = CLASSES[name]
    if preset not in flags.knobs(cls)["preset"][1].choices:
        with pytest.raises(ParamError, match="preset: must be one of"):
            resolved(cls, preset=preset)
        return
    p = resolved(cls, preset=preset)
    empty = [n for n, (_, meta, _) in flags.knobs(cls).items() if meta.presets and getattr(p, n) is None]
    assert not empty
    assert flags.from_mapping(cls, flags.texts(p)) == p


@pytest.mark.parametrize("name", list(CLASSES))
def test_each_choice_of_preset_is_there_and_every_knob_says_what_it_is(name: str):
    cls = CLASSES[name]
    for _, meta, _ in flags.knobs(cls).values():
        assert meta.help
        assert '"' not in meta.help  # it becomes a comment in a line of YAML
        assert "\n" not in meta.help
    if "preset" in flags.knobs(cls) and name != "sweep":
        for preset in flags.knobs(cls)["preset"][1].choices or ():
            resolved(cls, preset=preset)
    resolved(cls)


def test_the_paper_s_pretraining():
    """Section 3 and 4 of the paper, and the constants of its code."""
    p = resolved(BYOL, preset="paper")
    wanted = {
        "architecture": "resnet50", "image_size": 224, "batch_size": 128, "steps": 25 * 20_000 // 128,
        "lr": 0.5 * 128 / 256, "weight_decay": 1e-5, "warmup": 10 / 25, "warmup_lr": 3e-5, "trust": 0.02,
        "momentum": 0.9, "projector_hidden": 4096, "projection_size": 256, "predictor_hidden": 8192,
        "tau": 0.99, "crop_scale": (0.08, 1.0), "flip": 0.5, "brightness": 0.2, "contrast": 0.2,
        "jitter": 0.8, "jitter_mode": "factor",
    }  # fmt: skip
    assert {name: getattr(p, name) for name in wanted} == wanted
    longer = resolved(BYOL, preset="paper-400")
    assert longer.steps == 400 * 20_000 // 128
    assert longer.warmup == 10 / 400


def test_the_paper_s_fine_tuning():
    p = resolved(params.Finetune, preset="paper-text")
    wanted = {
        "architecture": "resnet50", "image_size": 224, "batch_size": 192, "steps": 150 * 7, "lr": 1e-4,
        "schedule": "cosine-restarts", "warmup": 0.0, "period": 350, "clip": 5.0, "eval_every": 7,
        "val_slices": 0, "subset": "random", "decoder": (256, 128, 64, 32, 16), "jitter": 0.8,
        "jitter_mode": "factor", "norm": "dataset", "absent": "exclude",
    }  # fmt: skip
    assert {name: getattr(p, name) for name in wanted} == wanted


def test_the_code_s_fine_tuning_differs_where_its_flaws_are():
    text, code = (resolved(params.Finetune, preset=name) for name in ("paper-text", "paper-code"))
    differ = {n for n in flags.knobs(params.Finetune) if getattr(text, n) != getattr(code, n)}
    assert differ == {"preset", "spacing", "norm", "probe", "jitter", "jitter_mode", "schedule", "warmup"}
    assert (code.norm, code.jitter, code.jitter_mode, code.spacing) == ("paper-code", 0.2, "uint16", 0.0)
    assert code.warmup == 10 / 150


def test_what_a_run_is_and_where_it_runs():
    runtime = {n for n, (_, meta, _) in flags.knobs(BYOL).items() if meta.runtime}
    assert runtime == {
        "threads", "device", "compile", "cache", "verify", "checkpoint_every", "probe_every",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("gpu", "device", "finetune", "pretrain"),
    [(True, "auto", "paper-text", "paper"), (True, "cpu", "cpu", "cpu"), (False, "auto", "cpu", "cpu")],
)
def test_the_preset_auto_suits_the_machine(gpu: bool, device: str, finetune: str, pretrain: str, monkeypatch):
    monkeypatch.setattr(flags, "has_gpu", lambda: gpu)
    tuned, learned = (
        flags.resolve(cls(encoder="scratch", dataset="acdc", device=device))
        for cls in (params.Finetune, params.Pretrain)
    )
    assert (tuned.preset, learned.preset) == (finetune, pretrain)
    assert tuned.steps == flags.knobs(params.Finetune)["steps"][1].presets[finetune]
    assert flags.texts(tuned)["preset"] == finetune  # what is logged, and what a run is known by


def test_a_card_that_is_hidden_is_none(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert not flags.has_gpu()


def group(monkeypatch, root: Path, own: str, files: dict[str, str | None]) -> None:
    """Control groups of Linux: this process in `own`, with these files in the tree of them."""
    monkeypatch.setattr(machine, "GROUPS", root)
    monkeypatch.setattr(machine, "OWN_GROUPS", root / "own")
    (root / "own").write_text(f"9:name=systemd:/\n{own}\n")
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n") if text else None


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("150000 100000", 2), ("1000 100000", 1), ("9900000 100000", 6), ("max 100000", 6), (None, 6)],
)
def test_cores_are_those_that_this_process_may_use(monkeypatch, tmp_path, quota: str | None, expected: int):
    """Not all that the machine has: of 64, six by taskset or Slurm, or fewer by a container's quota."""
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)), raising=False)
    group(
        monkeypatch,
        tmp_path,
        "0::/slurm/job_1/step_0",
        {"slurm/job_1/cpu.max": quota, "cpu.max": "max 100000"},
    )
    assert machine.cores() == local.places(params.Workers(device="cpu"))[0] == expected
    assert devices.threads(params.Machine()) == expected


def test_a_system_without_affinity_has_all_its_cores(monkeypatch, tmp_path):
    """MacOS and Windows."""
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(machine, "OWN_GROUPS", tmp_path / "none")
    assert machine.cores() == 8


@pytest.mark.parametrize(
    ("own", "files", "workers"),
    [
        ("0::/", {}, 8),
        ("0::/a/b", {"a/b/memory.max": "max", "a/memory.max": "4294967296"}, 2),
        ("0::/a", {"a/memory.max": "1000000000"}, 1),
        ("4:memory:/two", {"memory/two/memory.limit_in_bytes": "5000000000"}, 3),
        ("4:memory:/of/the/host", {"memory/memory.limit_in_bytes": "5000000000"}, 3),  # as in a container
        ("4:memory:/", {"memory/memory.limit_in_bytes": "9223372036854771712"}, 8),  # no limit
    ],
)
def test_no_more_workers_begin_than_memory_holds(monkeypatch, tmp_path, own: str, files: dict, workers: int):
    """Of eight cores with 12.5 GB free: else the kernel ends them, one after the other."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: Mock(available=8 * local.WORKER + 10))
    group(monkeypatch, tmp_path, own, files)
    assert local.places(params.Workers(device="cpu")) == (workers, 8 // workers)
    assert local.places(params.Workers(device="cpu", workers=8)) == (8, 1)
