"""Your own pictures or volumes in a folder: PNG, TIFF (8 to 32 bit), BMP, JPEG, NIfTI.

Nothing has to be written down; docs/reference/data.md says how masks are found and what `sslseg.json` may say.
"""

from sslseg.data.folders import pairs
from sslseg.data.readers import formats, pictures
from sslseg.data.source import searches

DOMAIN = "medical"
LICENCE = "unknown: as its owner says"
SPLIT = "stratified"
VERSION = 4  # deep pictures keep their values
TAKES_ANY = True  # every folder with such files: a format that wants a description is the likelier one
FORMAT = pairs.Format((*formats.NIFTI, *pictures.SUFFIXES))
describe, pairing, notes, read = FORMAT.describe, FORMAT.pairing, FORMAT.notes, pairs.read
find, scan = searches(FORMAT.walk)
