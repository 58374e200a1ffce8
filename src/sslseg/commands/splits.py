"""Write nnU-Net's splits_final.json for a dataset as it is divided here: no patient in two splits."""

import argparse
from collections import Counter
from pathlib import Path

from sslseg.config import files, params, plugins
from sslseg.config.names import DataError

WORDS = {"train": "train", "val": "validate", "test": "test"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the subcommand takes."""
    parser.add_argument("dataset", choices=plugins.names("datasets"), help="format of the data")
    parser.add_argument("root", type=Path, help="the data folder")
    parser.add_argument("file", type=Path, help="the file to write, say splits_final.json")
    parser.add_argument("--split", default="auto", help=f"{', '.join(params.SPLITS)}; default: %(default)s")


def run(options: argparse.Namespace) -> None:
    """Write the file and print how many cases are on which side.

    Cases are named after their images, as nnU-Net's converters do. Fold 0 trains and validates as the
    stages do; test cases are in no fold but fold 1, whose val they are.

    Raises:
        ParamError: the split is not one of these data.
        DataError: see the dataset; two cases of one name; the file is there already.
    """
    from sslseg.data import splits
    from sslseg.data.slices.sources import describe
    from sslseg.datasets import nnunet

    module = plugins.load("datasets", options.dataset)
    root = files.folder(options.root, f"the folder of dataset {options.dataset}")
    if options.file.exists():
        raise DataError(f"{options.file}: is there already; move it away first")
    about, sources = describe(module, root), module.find(root)
    parts = splits.divide_sources(sources, about, options.dataset, options.split)
    sides = {sources[i].patient: side for side, found in parts.items() for i in found}
    nnunet.write_splits(options.file, sides, sources)
    counts = Counter(sides[s.patient] for s in sources if s.label is not None)
    print(f"{options.file}: {', '.join(f'{counts[side]} cases {word}' for side, word in WORDS.items())}")
