"""CAMUS: the lists of its own that divide the patients."""

import pytest

from sslseg.config.names import DataError
from sslseg.datasets.hearts import camus
from tests.fixtures import layout_trees

NAMES = {side: name for name, side in camus.LISTS.items()}


def test_the_lists_of_the_data_divide_the_patients(tmp_path):
    root = layout_trees.TREES["CAMUS"].write(tmp_path)
    patients = sorted({source.patient for source in camus.find(root)})
    sides = {patient: ("train", "val", "test")[min(k, 2)] for k, patient in enumerate(patients)}
    (root / "database_split").mkdir()
    for side, name in NAMES.items():
        listed = [patient for patient, own in sides.items() if own == side]
        (root / "database_split" / name).write_text("\n".join([*listed, f"absent-{side}"]))
    about = camus.describe(root)
    assert (about.split, about.sides) == ("official", sides)
    (root / "database_split" / NAMES["test"]).write_text("\n".join(patients[2:-1]))
    assert camus.describe(root).split == ""  # not every patient has a side
    (root / "database_split" / NAMES["test"]).write_text(patients[0])
    with pytest.raises(DataError, match=f"patient {patients[0]} is in .* and in "):
        camus.describe(root)
