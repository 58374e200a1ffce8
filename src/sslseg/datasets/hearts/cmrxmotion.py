"""CMRxMotion: cine MRI of the heart, volunteers who breathe as they were told, ED and ES annotated.

Tree: `data/PNNN-V/PNNN-V-ED.nii.gz` + `..-label.nii.gz`, and the same for ES. V is one of four acquisitions of the
volunteer, from a full breath-hold to deep breaths; each has an ejection fraction of its own. What motion has spoiled
has no mask: it is for pretraining. The files say 1 LV, 2 MYO, 3 RV; read are ACDC's classes.
"""

from sslseg.data.folders import pairs
from sslseg.data.readers import formats
from sslseg.data.source import searches

DOMAIN = "cardiac-mri"
LICENCE = "as its distributor states; cite Wang et al., arXiv:2210.06385, 2022"
SPLIT = "stratified"
FORMAT = pairs.Format(formats.NIFTI, "CMRxMotion")
describe, pairing, read = FORMAT.describe, FORMAT.pairing, pairs.read
find, scan = searches(FORMAT.walk)
