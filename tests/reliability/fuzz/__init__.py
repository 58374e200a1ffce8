"""Damaged and hostile input in numbers: `python -m tests.reliability.fuzz`, and bounded in tests/reliability/test_fuzz.py.

A format is a module with `MUTATIONS`: class of mutation -> function(rng, folder) that writes one mutated
input into the empty `folder` and returns the call that reads it. The call returns a word on a right result,
raises an error of this project, or `Wrong`; everything else is a failure (runner.py).
"""

TEXTS = ("Info.cfg", "dataset.json nnunet", "dataset.json decathlon", "CSV mnms", "CSV cases", "sslseg.json",
         "splits_final.json")  # fmt: skip
CHECKPOINTS = (
    "timm", "torchvision", "data-parallel", "compiled", "model prefix", "encoder prefix", "smp tu-",
    "SSL-MedSeg fine-tuned", "yaox12", "yaox12 online", "yaox12 numbered", "solo-learn", "solo-learn without momentum",
    "SSL-MedSeg ep=34.ckpt", "SSL-MedSeg ep=25.pth", "SSL-MedSeg backbone_last.pth", "lightly",
    "lightly teacher", "moco", "dino", "fsdp", "lucidrains", "lightly-train",
)  # fmt: skip
FORMATS = {  # name -> its module
    "nifti": "tests.reliability.fuzz.nifti",
    **dict.fromkeys(TEXTS, "tests.reliability.fuzz.texts"),
    **{f"checkpoint {name}": "tests.reliability.fuzz.checkpoints" for name in CHECKPOINTS},
    "safetensors": "tests.reliability.fuzz.checkpoints",
    "importer": "tests.reliability.fuzz.importers",
    **dict.fromkeys(
        ("encoder folder", "segmenter folder", "own checkpoint", "archive", "picture"),
        "tests.reliability.fuzz.stored",
    ),
    **dict.fromkeys(("NRRD", "MetaImage", "DICOM"), "tests.reliability.fuzz.scans"),
    **dict.fromkeys(("parameters", "names"), "tests.reliability.fuzz.words"),
}
EXTRAS = {
    "NRRD": "SimpleITK",
    "MetaImage": "SimpleITK",
    "DICOM": "pydicom",
}  # packages that are no dependency
