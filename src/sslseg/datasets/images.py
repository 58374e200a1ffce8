"""Your own pictures or volumes in a folder: PNG, TIFF (8 to 32 bit), BMP, JPEG, NIfTI.

Nothing has to be written down: `scan12.png` is annotated if there is `scan12_mask.png` (or _seg, _gt …),
or `masks/scan12.png` beside `images/scan12.png`; masks of 0 and 1 or of 0 and 255 are background and
foreground; folders are groups. The rest is told in `sslseg.json` (data/folders/settings.py lists its keys):

    {"classes": ["background", "liver", "lesion"], "patient_regex": "^(p[0-9]+)_", "spacing": [0.7, 0.7]}

Without `patient_regex` or `csv` every image is a patient of its own. Several images of one patient then
fall into train and test, and the scores are too good.
"""

from __future__ import annotations

from sslseg.data.folders import pairs
from sslseg.data.readers import formats, pictures
from sslseg.data.source import searches

DOMAIN = "medical"
LICENCE = "unknown: as its owner says"
SPLIT = "stratified"
VERSION = 3  # a mask on a picture that EXIF turns is laid on it by its shape
TAKES_ANY = True  # every folder with such files: a format that wants a description is the likelier one
FORMAT = pairs.Format((*formats.NIFTI, *pictures.SUFFIXES))
describe, pairing, notes, read = FORMAT.describe, FORMAT.pairing, FORMAT.notes, pairs.read
find, scan = searches(FORMAT.walk)
