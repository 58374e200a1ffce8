"""NRRD and MetaImage volumes (.nrrd, .nhdr, .mha, .mhd) in a folder, by SimpleITK (an extra).

Masks, patients, classes and `sslseg.json` are as in `images`; spacing comes from the files.
"""

from sslseg.data.folders import pairs
from sslseg.data.readers import itk
from sslseg.data.source import searches

DOMAIN = "medical"
LICENCE = "unknown: as its owner says"
SPLIT = "stratified"
VERSION = 2  # masks and channels are brought onto the grid of the image
TAKES_ANY = True  # every folder with such files: a format that wants a description is the likelier one
FORMAT = pairs.Format(itk.SUFFIXES)
describe, pairing, notes, read = FORMAT.describe, FORMAT.pairing, FORMAT.notes, pairs.read
find, scan = searches(FORMAT.walk)
