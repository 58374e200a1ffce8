"""CAMUS: echocardiography of 500 patients, two- and four-chamber views, ED and ES annotated.

Tree: `database_nifti/patientNNNN/patientNNNN_2CH_ED.nii.gz` + `.._gt.nii.gz`, the same for ES and 4CH; or MetaImage
(`.mhd`) as it was first released, which SimpleITK reads (an extra). `database_split/subgroup_*.txt` divide the
patients where they are there. The sequences between ED and ES are not read. The files say 1 LV, 2 MYO, 3 left atrium.

Volumes of the left ventricle are Simpson's, of one or of both views: a view is a plane through the ventricle, and its
pixels are no millilitres.
"""

from pathlib import Path

from sslseg.config.names import DataError
from sslseg.data.files import text, walk
from sslseg.data.folders import pairs
from sslseg.data.readers import formats, itk
from sslseg.data.source import Description, ignore, searches

DOMAIN = "echocardiography"
LICENCE = "as its distributor states; cite Leclerc et al., IEEE TMI 38(9), 2019"
SPLIT = "stratified"
PLANES = True  # images are planes through the heart: volumes are Simpson's
LISTS = {"subgroup_training.txt": "train", "subgroup_validation.txt": "val", "subgroup_testing.txt": "test"}
FORMAT = pairs.Format((*formats.NIFTI, *itk.SUFFIXES), "CAMUS")
find, scan = searches(FORMAT.walk)
pairing, read = FORMAT.pairing, pairs.read


def describe(root: Path) -> Description:
    """Constant classes; the sides that database_split names, the default division where all three are there.

    Raises:
        DataError: there is no patientNNNN_4CH_ED below the folder, or a patient is on two sides.
    """
    sides: dict[str, str] = {}
    for path in walk(root).files:
        if side := LISTS.get(path.name):
            for patient in text(path, "a list of patients").split():
                if sides.setdefault(patient, side) != side:
                    raise DataError(f"{path}: patient {patient} is in {sides[patient]} and in {side}")
    known = {source.patient for source in FORMAT.walk(root, ignore)}
    sides = {patient: side for patient, side in sides.items() if patient in known}
    split = "official" if set(sides.values()) == set(LISTS.values()) and known <= set(sides) else ""
    return FORMAT.describe(root, sides=sides, split=split)
