"""What the code must not contain, and what a stranger's file or parameter must not reach.

Malicious checkpoints are in test_unpickle.py, hostile archives in test_packing.py.
"""

from __future__ import annotations

import ast
import re
import shlex
import struct
from pathlib import Path

import pytest
import yaml
from mlflow.projects import _project_spec

from sslseg.config import flags, mlproject, names, params, plugins
from sslseg.models import encoder, folders
from sslseg.stages.intake import upstream

ROOT = plugins.PACKAGE.parents[1]
FILES = sorted(
    f for folder in ("src", "analysis", "entrypoints", "benchmarks") for f in ROOT.glob(f"{folder}/**/*.py")
)
FORBIDDEN_MODULES = {
    "pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "pty",
    "mlflow.pyfunc", "mlflow.pytorch", "torch.hub",
}  # fmt: skip
FORBIDDEN_NAMES = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_CALLS = {
    "os.system", "os.popen", "os.execv", "os.execvp", "os.execl", "os.spawnv", "os.spawnl",
    "subprocess.getoutput", "subprocess.getstatusoutput", "yaml.load", "yaml.unsafe_load", "yaml.full_load",
    "pd.read_pickle", "pandas.read_pickle", "torch.hub.load", "torch.jit.load",
    "torch.package.PackageImporter", "tempfile.mktemp",
}  # fmt: skip
STARTS = {"subprocess.run", "subprocess.Popen", "subprocess.check_output", "subprocess.call"}
# the only places that start a program, and why
PROGRAMS = {
    "src/sslseg/tracking/manifest.py": "git, for the commit",
    "src/sslseg/launch.py": "Python, to close a run whose launcher writes over its end",
    "src/sslseg/executors/slurm.py": "squeue, for tasks that never called in",
    "src/sslseg/executors/_mps.py": "NVIDIA's daemon, and one look whether it answers",
    "src/sslseg/testing/methods.py": "Python without torch, in a test",
    "src/sslseg/testing/datasets.py": "likewise",
}


def _spelled(node: ast.AST) -> str:
    """`a.b.c` of a dotted name; '' of anything else."""
    if isinstance(node, ast.Attribute):
        return f"{_spelled(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _keyword(call: ast.Call, name: str) -> object:
    return next(
        (k.value.value for k in call.keywords if k.arg == name and isinstance(k.value, ast.Constant)), None
    )


def _fault_of_call(call: ast.Call) -> str:
    name = _spelled(call.func)
    if name in FORBIDDEN_NAMES | FORBIDDEN_CALLS:
        return name
    if name.endswith("torch.load") and _keyword(call, "weights_only") is not True:
        return "torch.load without weights_only=True"
    if any(
        k.arg == "shell" and not (isinstance(k.value, ast.Constant) and k.value.value is False)
        for k in call.keywords
    ):
        return "shell="
    if any(k.arg == "allow_pickle" and _keyword(call, "allow_pickle") is not False for k in call.keywords):
        return "allow_pickle="
    if name.endswith(".extractall") or name == "shutil.unpack_archive":
        return f"{name}, which follows the names in an archive"
    if name.endswith(("jinja2.Environment", "jinja2.Template")) and _keyword(call, "autoescape") is not True:
        return f"{name} without autoescape=True"
    return ""


def faults(source: str) -> list[str]:
    """Every forbidden import and call of a source text, with its line."""
    found = []
    for node in ast.walk(ast.parse(source)):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        found += [f"line {node.lineno}: import {m}" for m in modules if m in FORBIDDEN_MODULES]
        found += [f"line {node.lineno}: {m}" for m in modules if m in FORBIDDEN_CALLS]
        if isinstance(node, ast.Call) and (fault := _fault_of_call(node)):
            found.append(f"line {node.lineno}: {fault}")
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_nothing_unpickles_evaluates_or_reaches_a_shell(file: Path):
    source = file.read_text()
    assert faults(source) == []
    starts = STARTS & {_spelled(node) for node in ast.walk(ast.parse(source))}
    if file.is_relative_to(plugins.PACKAGE):
        assert not starts or str(file.relative_to(ROOT)) in PROGRAMS


@pytest.mark.parametrize(
    "planted",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib as j",
        "from torch import hub",
        "eval('1')",
        "exec(x)",
        "import os\nos.system('x')",
        "from os import system",
        "torch.load" + "(f)",
        "torch.load" + "(f, weights_only=False)",
        "subprocess.run('x', shell=True)",
        "subprocess.run('x', shell=flag)",
        "yaml.load(f)",
        "pd.read_pickle(f)",
        "np.load(f, allow_pickle=True)",
        "tar.extractall(x)",
        "jinja2.Environment()",
        "__import__('os')",
    ],
)
def test_the_walk_catches_what_is_planted(planted: str):
    assert len(faults(planted)) >= 1


def test_the_walk_passes_what_is_safe():
    safe = "torch.load(f, weights_only=True)\nmodel.eval()\nnp.load(f, allow_pickle=False)\nyaml.safe_load(f)"
    assert faults(safe) == []


@pytest.mark.parametrize(
    "length", [2**63, folders.HEADER_LIMIT + 1, 10_000], ids=["absurd", "over", "past the end"]
)
def test_headers_of_weights_are_bounded(tmp_path: Path, length: int):
    folder = tmp_path / "encoder"
    encoder.save(encoder.build("test_resnet", 1, 0), folder, architecture="test_resnet", channels=1)
    body = b"{" + b" " * 64 + b"}"
    (folder / names.WEIGHTS_FILE).write_bytes(struct.pack("<Q", length) + body)
    with pytest.raises(names.EncoderError, match="not a safetensors file, or cut short"):
        encoder.read_state(folder)


def test_a_config_is_bounded_and_names_no_other_source(tmp_path: Path):
    folder = tmp_path / "encoder"
    encoder.save(encoder.build("test_resnet", 1, 0), folder, architecture="test_resnet", channels=1)
    path = folder / names.CONFIG_FILE
    good = path.read_text()
    path.write_text(good + " " * folders.CONFIG_LIMIT)
    with pytest.raises(names.EncoderError, match="a config has at most"):
        encoder.read_state(folder)
    path.write_text(good.replace('"architecture": "test_resnet"', '"architecture": "hf-hub:some/one"'))
    with pytest.raises(names.EncoderError):
        encoder.load(folder)


@pytest.mark.parametrize(
    "reference",
    [
        "/etc/passwd",
        "../encoder",
        "file:///etc/hostname",
        "http://a.example/x",
        "https://a.example/x",
        "s3://b/x",
        "dbfs:/x",
        "mlflow-artifacts:/x",
        "runs:/../../x",
        f"runs:/{'0' * 32}/../../x",
        "models:/../x",
        "models:/a/b/c",
        "hf-hub:some/one",
        "timm:resnet50",
        "$(touch x)",
        "0" * 31,
        "a\nb",
        "",
    ],
)
@pytest.mark.usefixtures("store")
def test_an_encoder_is_a_run_or_a_model_and_nothing_else(reference: str):
    p = flags.resolve(params.Finetune(encoder=reference))
    with pytest.raises(names.EncoderError, match="not a reference to a model|none was given|unknown"):
        upstream.resolve(p)


HOSTILE = (
    "a b",
    "$(touch x)",
    "`id`",
    "'; rm -rf x; '",
    '"; id; "',
    "a\nb",
    "--seed",
    "{seed}",
    "ü",
    "x" * 5000,
    "",
)


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_a_parameter_reaches_the_script_as_one_word(value: str):
    project = yaml.safe_load(mlproject.text())
    for name, entry in project["entry_points"].items():
        if "dataset" not in entry.get("parameters", {}):
            continue
        given = dict.fromkeys(entry["parameters"], "1") | {"dataset": value}
        declared = _project_spec.EntryPoint(name, entry["parameters"], entry["command"])
        words = shlex.split(declared.compute_command(given, None).partition(" python ")[2])
        assert words[words.index("--dataset") + 1] == value
        assert len(words) == len(shlex.split(entry["command"].partition(" python ")[2]))


def test_every_server_that_make_starts_is_for_this_machine_alone():
    recipes = re.findall(r"^\t(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    lines = [line for line in recipes if re.search(r"mlflow (ui|server)\b", line)]
    assert len(lines) >= 2
    assert all("--host 127.0.0.1" in line for line in lines)
