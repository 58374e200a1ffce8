"""EVERY knob of every stage: one line is one parameter.

Its flag, its MLproject entry, its logged value and its column in the analysis are readings of that line (`flags.py`).
A knob with `presets=` has the MLproject default '' ("from the preset"); an explicit value wins; the resolved value is
logged as `cfg.<name>` and is the only one that anything reads. The groups of knobs that stages have in common are in
`machine.py`, `inputs.py` and `views.py`, the stages' own beside them.

Sources: [P] the paper, [C] kaland313/SSL-MedSeg at 44c7320, [H] this project's own choice.
"""

from dataclasses import dataclass

from sslseg.config.params.encoders import NETWORKS, Export, ImportEncoder, Probe, Worklist
from sslseg.config.params.finetune import Finetune
from sslseg.config.params.inference import Evaluate, Inference, Predict
from sslseg.config.params.inputs import FOLD, SPLITS, Data, Prepare, Upstream
from sslseg.config.params.machine import COMPILE_FROM, Compiled, Machine, Workers, cores, limits
from sslseg.config.params.pretrain import OPTIMIZERS, AnyMethod, Pretrain, again, per_preset
from sslseg.config.params.studies import Analyse, Demo, Sweep, Tryout, Tune
from sslseg.config.params.views import Augment, Views

__all__ = [
    "COMPILE_FROM", "FOLD", "NETWORKS", "OPTIMIZERS", "SPLITS", "STAGES", "Analyse", "AnyMethod", "Augment", "Compiled",
    "Data", "Demo", "Evaluate", "Export", "Finetune", "ImportEncoder", "Inference", "Machine", "Overview", "Predict",
    "Prepare", "Pretrain", "Probe", "Reader", "Sweep", "Tryout", "Tune", "Upstream", "Views", "Workers", "Worklist", "again",
    "cores", "limits", "per_preset",
]  # fmt: skip

Reader = Prepare | Pretrain | Finetune | Probe | Worklist  # stages that read a slice store


@dataclass(frozen=True, kw_only=True)
class Overview:
    """Say which entry points there are."""


STAGES: dict[str, type] = {
    "prepare": Prepare,
    "import_encoder": ImportEncoder,
    "pretrain": Pretrain,
    "finetune": Finetune,
    "sweep": Sweep,
    "tryout": Tryout,
    "tune": Tune,
    "predict": Predict,
    "export": Export,
    "evaluate": Evaluate,
    "worklist": Worklist,
    "probe": Probe,
    "analyse": Analyse,
    "demo": Demo,
}
