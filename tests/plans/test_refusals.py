"""What contradicts itself is refused before anything is opened, with what was wanted, what came, and where."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sslseg import execute
from sslseg.config import flags, names, params
from sslseg.config.names import SslsegError
from sslseg.plans import cells, refusals, studies

ASKED = {
    "tune": {"encoder": "scratch"},
    "tryout": {"data_root": "."},
    "predict": {"input": "i", "output": "o"},
}
MISTAKES = [
    ("sweep", {"study": "papper"}, "study: must be one of paper, paper-cpu, methods, demo; not 'papper'"),
    ("sweep", {"pipelines": "scratch,byool@target"}, "'byool' is no way to learn; the nearest is byol@target"),
    ("sweep", {"pipelines": "byol@traget"}, "'traget' is no data; the nearest is byol@target"),
    ("sweep", {"pipelines": "byol@imagenet"}, "byol@imagenet: ImageNet weights of byol are not known; byol_imagenet="),
    ("sweep", {"preset": "cpuu"}, "finetune of scratch/n=30/seed=0: preset: must be one of paper-text, .*; not 'cpuu'"),
    ("sweep", {"finetune": "stepz=3"}, "finetune of .*: unknown parameter 'stepz'; did you mean 'steps'"),
    ("sweep", {"finetune": "steps=ten"}, "steps: wanted a whole number, got 'ten'"),
    ("sweep", {"finetune": "steps"}, "finetune: wanted name=value pairs, got 'steps'"),
    ("sweep", {"finetune": "budget=3", "budgets": "30"}, "finetune: budget is set for each finetune by itself, by budgets="),
    ("sweep", {"finetune": "steps=2,seed=1"}, "finetune: seed is set .*, by seeds=; leave it out of finetune="),
    ("sweep", {"finetune": "encoder=scratch"}, "by pipelines="),
    ("sweep", {"finetune": "device=cpu"}, "by device="),
    ("sweep", {"pipelines": "byol", "pretrain": "seed=3"}, "seed is set for each pretrain by itself, by pretrain_seeds="),
    ("sweep", {"pipelines": "moco", "pretrain": "queue=x"}, "pretrain of moco@demo: queue: wanted a whole number, got 'x'"),
    ("tryout", {"pipelines": "moco@traget"}, "the nearest is moco@target"),
    ("tryout", {"finetune": "budget=3"}, "finetune: budget is set .*, by budgets="),
    ("tryout", {"finetune": "stepz=3"}, "finetune: unknown parameter 'stepz'"),
    ("tryout", {"pipelines": "moco", "pretrain": "stepz=3"}, "pretrain of moco@images: unknown parameter 'stepz'"),
    ("tune", {"encoder": ""}, "encoder: none was given. Wanted run IDs"),
    ("tune", {"space": "lr=flot:1:2"}, "space: lr=flot:1:2: wanted name=float:low:high"),
    ("tune", {"finetune": "budget=3"}, "finetune: budget is set .*, by budget="),
    ("tune", {"stage": "pretrain", "pretrain": "stps=3"}, "pretrain: unknown parameter 'stps'; did you mean 'steps'"),
    ("finetune", {}, "encoder: none was given. Wanted a run ID.*encoder=scratch"),
    ("worklist", {}, "encoder: none was given"),
    ("worklist", {"encoder": "scratch"}, "wanted one that has learned something, got scratch; `sslseg encoders`"),
    ("import_encoder", {"source": "resnet50"}, "source: wanted timm:<name>, .*; not 'resnet50'; did you mean timm:resnet50"),
    ("import_encoder", {"source": "w/my.pth"}, "not 'w/my.pth'; did you mean file:w/my.pth"),
    ("import_encoder", {"source": "bundled:resnet50"}, "source: wanted .* or bundled:efficientnet_lite0; not 'bundled:resnet50'"),
    ("import_encoder", {"source": "file:/no.pth"}, "source: wanted the file of a checkpoint or its folder, /no.pth is not there"),
    ("import_encoder", {"source": f"file:{__file__}"}, "origin: say in words where the weights of a file come from"),
    ("sweep", {"pipelines": "supervised", "imagenet": "resnet50"}, "import_encoder of supervised: source: .*timm:resnet50"),
    ("export", {"model": "unet.pth"}, "is not a reference to a model"),
    ("finetune", {"encoder": "resnet50"}, "'resnet50' is not a reference to a model: wanted a run ID .*-e import_encoder"),
    ("probe", {"encoder": "file:w.pth"}, "is not a reference to a model"),
    ("predict", {"model": "unet.pth"}, "is not a reference to a model"),
    ("evaluate", {"model": "scratch"}, "is not a reference to a model"),
    ("predict", {"model": ""}, "model: none was given. Wanted the run ID of a fine-tuning"),
    ("predict", {"model": refusals.SOME, "input": "/nowhere"}, "input: /nowhere does not exist"),
    ("predict", {"model": refusals.SOME, "input": ".", "output": "."}, "output: must not be the input's folder"),
    ("evaluate", {"predictions": "/nowhere"}, "/nowhere: wanted the folder of masks that predictions= names, it is not there"),
    ("finetune", {"encoder": "scratch", "data_root": "/nowhere"}, "/nowhere: wanted the folder of dataset demo, it is not"),
    ("prepare", {"dataset": "images"}, "data_root: dataset images is not built in, give the folder it lies in"),
    ("sweep", {"dataset": "acdc"}, "data_root: dataset acdc is not built in"),
    ("sweep", {"data_root": __file__}, "test_refusals.py: wanted the folder, it is a file"),
    ("sweep", {"study": "paper", "data_root": "/nowhere"}, "/nowhere: wanted the folder"),
    ("sweep", {"natural": "images", "natural_root": "/nowhere"}, "/nowhere: wanted the folder of dataset images, it is"),
    ("tryout", {"encoder": "resnet50"}, "encoder: resnet50 is no file, and no run ID"),
    ("tryout", {"data_root": "/nowhere"}, "/nowhere: wanted the folder, it is"),
    ("evaluate", {}, "model, predictions, sweep: wanted one of the three"),
    ("evaluate", {"model": "a", "sweep": "b"}, "wanted one of the three"),
]  # fmt: skip


@pytest.mark.parametrize(("stage", "given", "sentence"), MISTAKES)
def test_a_mistake_is_told_and_opens_no_run(
    stage: str, given: dict, sentence: str, monkeypatch: pytest.MonkeyPatch
):
    from sslseg.tracking import store

    def opened(*_: object) -> None:
        raise AssertionError("a store was opened")

    monkeypatch.setattr(store, "ensure_store", opened)
    asked = flags.resolve(flags.from_mapping(params.STAGES[stage], ASKED.get(stage, {}) | given))
    with pytest.raises(SslsegError, match=sentence):
        execute.execute(stage, asked)


def test_what_means_something_is_let_through():
    for study in ("", *studies.STUDIES):
        refusals.check("sweep", params.Sweep(study=study))
    refusals.check("tryout", params.Tryout(data_root=".", finetune="steps=3,spacing=0", pipelines=("moco",)))
    refusals.check(
        "tune", params.Tune(encoder=("scratch",), stage="pretrain", method="moco", pretrain="queue=64")
    )
    refusals.check("evaluate", params.Evaluate(model=("",), sweep="0" * 32))
    refusals.check("finetune", params.Finetune(encoder="scratch"))


def test_a_grid_is_looked_at_without_torch_and_mlflow():
    code = "import sys; sys.modules.update(torch=None, mlflow=None)\n"
    code += "from sslseg.plans import refusals; from sslseg.config import params\n"
    code += "refusals.check('sweep', params.Sweep(study='methods'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_repeated_number_makes_no_second_cell():
    once = cells.cells(
        studies.fill(params.Sweep(pipelines=("scratch", "byol"), budgets=(3, 0), seeds=(0, 1)))
    )
    twice = params.Sweep(pipelines=("scratch", "byol@target", "byol"), budgets=(3, 0, 3), seeds=(0, 1, 1))
    assert [cell.name for cell in cells.cells(studies.fill(twice))] == [cell.name for cell in once]


@pytest.mark.parametrize("root", ["", "/nowhere"])
def test_analyse_wants_no_folder_of_data(root: str) -> None:
    refusals.check(names.ANALYSE, params.Analyse(dataset="images", data_root=root))
