"""Draw docs/phantom.png, a patient of each group of the phantom: `python docs/phantom.py`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from analysis.figures import style
from sslseg.data.phantom import population, tree
from sslseg.datasets.hearts import acdc

GROUPS = {
    "NOR": "normal",
    "MINF": "infarction",
    "DCM": "dilated",
    "HCM": "hypertrophic",
    "RV": "abnormal right\nventricle",
}
CLASSES = {"RV": "right ventricle", "MYO": "myocardium", "LV": "left ventricle"}
FRAMES = {"end-diastole": 0, "end-systole": 1}


def main() -> None:
    """A row per frame with its annotation, a column per group."""
    with tempfile.TemporaryDirectory() as scratch, style.look():
        tree.write(Path(scratch), patients=len(population.GROUPS), seed=0)
        homes = sorted(Path(scratch).glob("patient*"))
        figure = Figure(figsize=(style.WIDTH, 3.9))
        axes = figure.subplots(len(FRAMES), len(homes))
        for column, home in enumerate(homes):
            truths = sorted(home.glob("*_gt.nii.gz"))
            for row, (name, frame) in enumerate(FRAMES.items()):
                truth = np.asarray(nib.load(truths[frame]).dataobj)
                image = np.asarray(nib.load(str(truths[frame]).replace("_gt", "")).dataobj)
                z = truth.shape[2] // 2
                axis = axes[row, column]
                axis.imshow(image[:, :, z].T, cmap="gray", vmax=np.percentile(image, 99.5))
                for k in range(1, 4):
                    axis.contour(
                        np.equal(truth[:, :, z].T, k), [0.5], colors=[acdc.COLOURS[k]], linewidths=1.4
                    )
                ys, xs = np.nonzero(truth[:, :, z].T)
                axis.set(xticks=[], yticks=[], ylabel="" if column else name)
                axis.set(xlim=(xs.min() - 12, xs.max() + 12), ylim=(ys.max() + 12, ys.min() - 12))
                axis.grid(visible=False)
            group = population.GROUPS[column]
            axes[0, column].set_title(f"{group}: {GROUPS[group]}", fontsize=style.SIZE)
        patches = [
            Patch(color=acdc.COLOURS[acdc.CLASSES.index(k)], label=f"{k}: {v}") for k, v in CLASSES.items()
        ]
        figure.legend(handles=patches, loc="outside lower center", ncols=3)
        figure.savefig(Path(__file__).with_suffix(".png"), dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
