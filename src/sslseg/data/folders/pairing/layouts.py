"""Public data sets as they are unpacked, each written as the sslseg.json that its folder lacks.

A new layout is one entry. `{above}` stands for any folders, so that the data may lie deeper than the root.
Names of files are those of the data sets' own archives; numbers of classes those of their descriptions.
Names of classes are ACDC's where they mean the same, so that a figure and a score do, too.
"""

import bisect
from collections.abc import Sequence
from functools import cache
from typing import Any

from sslseg.data.folders.pairing.matching import cases
from sslseg.data.folders.pairing.patterns import Rule, literals, rule

HEART = {"RV": 3, "MYO": 2, "LV": 1}  # values of M&Ms-2 and CMRxMotion, in the order of ACDC's classes
INK = ["#000000", "#4477aa", "#ccbb44", "#ee6677"]  # ACDC's colours


def _one(name: str) -> dict[str, list[int]]:
    """Masks of 0 and 1, or of 0 and 255."""
    return {name: [1, 255]}


def _channels(stem: str, names: str, mask: str) -> str:
    """One file a channel: "a_t1 + a_t2 -> a_seg"."""
    return " + ".join(stem + name for name in names.split()) + f" -> {mask}"


_VERTEBRAE = {f"C{k}": k for k in range(1, 8)} | {f"T{k}": 7 + k for k in range(1, 13)} | {"T13": 28} | {
    f"L{k}": 19 + k for k in range(1, 7)}  # fmt: skip
_BRATS = "{above}{patient}/{patient}_"
_BRATS_23 = "{above}{patient}-{visit}/{patient}-{visit}-"
_ISLES = "sub-{patient}/ses-{visit}/**/sub-{patient}_ses-{visit}_"

LAYOUTS: dict[str, dict[str, Any]] = {
    # ---- hearts, with their phases
    "ACDC": {  # without the folders of patients and their Info.cfg, which dataset=acdc reads
        "pairs": [f"{{above}}patient{{patient}}_frame{{frame}}{end} -> {{above}}patient{{patient}}_frame{{frame}}_gt{end}"
                  for end in (".nii.gz", ".nii")],
        "classes": ["background", "RV", "MYO", "LV"], "colours": INK, "domain": "cardiac-mri"},
    "M&Ms-2": {
        "pairs": "{above}{patient}_SA_{phase} -> {above}{patient}_SA_{phase}_gt",
        "classes": HEART, "colours": INK, "domain": "cardiac-mri"},
    "CAMUS": {
        "pairs": "{above}{patient}_{view}_{phase} -> {above}{patient}_{view}_{phase}_gt",
        "classes": {"MYO": 2, "LV": 1, "LA": 3}, "colours": [INK[0], *INK[2:], "#66ccee"],
        "domain": "echocardiography"},
    "CMRxMotion": {
        "pairs": "{above}{patient}-{visit}-{phase} -> {above}{patient}-{visit}-{phase}-label",
        "classes": HEART, "colours": INK, "domain": "cardiac-mri"},
    "MM-WHS": {
        "pairs": "{above}{group}_train_{patient}_image -> {above}{group}_train_{patient}_label",
        "classes": {"RV": 600, "MYO": 205, "LV": 500, "LA": 420, "RA": 550, "aorta": 820,
                    "pulmonary artery": 850}},
    "LASC 2018": {
        "pairs": "{above}{patient}/lgemri -> {above}{patient}/laendo",
        "classes": _one("left atrium"), "domain": "cardiac-mri"},
    "EMIDEC": {
        "pairs": "{above}Case_{patient}/Images/Case_{patient} -> {above}Case_{patient}/Contours/Case_{patient}",
        "classes": {"LV": 1, "MYO": 2, "infarct": 3, "no-reflow": 4}, "domain": "cardiac-mri"},
    "MyoPS": {
        "pairs": _channels("**/myops_training_{patient}_", "C0 DE T2", "**/myops_training_{patient}_gd"),
        "classes": {"RV": 600, "MYO": 200, "LV": 500, "edema": 1220, "scar": 2221},
        "domain": "cardiac-mri"},
    # ---- CT and MR
    "CHAOS CT": {  # folders of DICOM series and of one mask a slice
        "pairs": "{above}{number}/DICOM_anon -> {above}{number}/Ground", "classes": _one("liver")},
    "CHAOS MR": {
        "pairs": ["{above}{number}/T1DUAL/DICOM_anon/InPhase -> {above}{number}/T1DUAL/Ground",
                  "{above}{number}/T1DUAL/DICOM_anon/OutPhase -> {above}{number}/T1DUAL/Ground",
                  "{above}{number}/T2SPIR/DICOM_anon -> {above}{number}/T2SPIR/Ground"],
        "classes": {"liver": 63, "right kidney": 126, "left kidney": 189, "spleen": 252}},
    "KiTS": {
        "pairs": ["{above}{patient}/imaging -> {above}{patient}/segmentation",
                  "{above}{patient}/imaging -> {above}{patient}/aggregated_MAJ_seg"],
        "classes": {"kidney": 1, "tumor": 2, "cyst": 3}},
    "LiTS": {
        "pairs": ["**/volume-{patient} -> **/segmentation-{patient}", "**/test-volume-{case}"],
        "classes": {"liver": 1, "lesion": 2}},
    "BraTS": {
        "pairs": [_channels(_BRATS, "flair t1 t1ce t2", _BRATS + "seg"),
                  # a mask of 2020 (case 355) bears another name than all others
                  _channels(_BRATS, "flair t1 t1ce t2", "{above}{patient}/W39_1998.09.19_Segm")],
        "classes": {"necrotic core": 1, "edema": 2, "enhancing tumor": 4}},
    "BraTS 2023": {
        "pairs": _channels(_BRATS_23, "t1c t1n t2f t2w", _BRATS_23 + "seg"),
        "classes": {"necrotic core": 1, "edema": 2, "enhancing tumor": 3}},
    "ISLES 2022": {
        "pairs": _channels("**/" + _ISLES, "dwi adc", "**/derivatives/**/" + _ISLES + "msk"),
        "classes": _one("lesion")},
    "WMH": {
        "pairs": "{above}{patient}/pre/FLAIR + {above}{patient}/pre/T1 -> {above}{patient}/wmh",
        "classes": {"hyperintensity": 1, "other pathology": 2}},
    "LGG MRI": {
        "pairs": "{above}TCGA_{group}_{patient}_{day}/TCGA_{group}_{patient}_{day}_{number}"
                 " -> {above}TCGA_{group}_{patient}_{day}/TCGA_{group}_{patient}_{day}_{number}_mask",
        "classes": _one("abnormality")},
    "BTCV": {
        "pairs": "{above}img/img{patient} -> {above}label/label{patient}",
        "classes": ["background", "spleen", "right kidney", "left kidney", "gallbladder", "esophagus", "liver",
                    "stomach", "aorta", "inferior vena cava", "portal and splenic vein", "pancreas",
                    "right adrenal gland", "left adrenal gland"]},
    "VerSe": {
        "pairs": "**/{scan}_ct -> **/{scan}_seg-vert_msk", "classes": _VERTEBRAE},
    "SegTHOR": {
        "pairs": "{above}Patient_{patient}/Patient_{patient} -> {above}Patient_{patient}/GT",
        "classes": {"esophagus": 1, "heart": 2, "trachea": 3, "aorta": 4}},
    "TotalSegmentator": {
        "pairs": ["{above}{patient}/ct -> {above}{patient}/segmentations/{class}",
                  "{above}{patient}/mri -> {above}{patient}/segmentations/{class}"]},
    "PROMISE12": {
        "pairs": "**/Case{patient} -> **/Case{patient}_segmentation", "classes": _one("prostate")},
    # ---- chest radiographs
    "Montgomery": {
        "pairs": "{above}CXR_png/{patient} -> {above}ManualMask/leftMask/{patient} as left lung"
                 " + {above}ManualMask/rightMask/{patient} as right lung"},
    # ---- the eye
    "REFUGE": {
        "pairs": ["**/REFUGE-{side}400/**/{case} -> **/Disc_Cup_Masks/**/{case}",
                  "**/{side}400/**/{case} -> **/Disc_Cup_Masks/**/{case}",
                  "**/images/**/{case} -> **/Disc_Cup_Masks/**/{case}",
                  "{case} -> Disc_Cup_Masks/**/{case}",
                  *(f"{{above}}images/{kind}{{number}} -> {{above}}{masks}/{kind}{{number}}"
                    for kind in "gnVT" for masks in ("mask", "masks", "gts"))],
        "classes": {"background": 255, "disc": 128, "cup": 0}},
    "Drishti-GS": {
        "pairs": "**/{side}/Images/**/{case} -> **/GT/{case}/SoftMap/{case}_ODsegSoftmap as disc"
                 " + **/GT/{case}/SoftMap/{case}_cupsegSoftmap as cup",
        "threshold": 127},
    "DRIVE": {
        "pairs": "{above}images/{number}_{side} -> {above}1st_manual/{number}_manual1",
        "classes": _one("vessel")},
    "CHASE_DB1": {
        "pairs": "**/Image_{patient}{eye} -> **/Image_{patient}{eye}_1stHO", "classes": _one("vessel")},
    "HRF": {
        "pairs": "{above}images/{case} -> {above}manual1/{case}", "classes": _one("vessel")},
    # ---- skin
    "ISIC": {
        "pairs": ["**/*{side}*/ISIC_{number} -> **/ISIC_{number}_segmentation",
                  "**/ISIC_{number} -> **/ISIC_{number}_segmentation"],
        "classes": _one("lesion")},
    "PH2": {
        "pairs": "**/{patient}_Dermoscopic_Image/{patient} -> **/{patient}_lesion",
        "classes": _one("lesion")},
    # ---- endoscopy, ultrasound, microscopy
    "CVC-ClinicDB": {
        "pairs": "{above}Original/{number} -> {above}Ground Truth/{number}",
        "threshold": 127, "classes": ["background", "polyp"]},
    "ETIS-Larib": {
        "pairs": "{above}ETIS-LaribPolypDB/{number} -> {above}Ground Truth/p{number}",
        "threshold": 127, "classes": ["background", "polyp"]},
    "Kvasir-SEG": {  # masks are JPEG
        "pairs": ["{above}images/cj{case} -> {above}masks/cj{case}",
                  "{above}images/ck{case} -> {above}masks/ck{case}"],
        "threshold": 127, "classes": ["background", "polyp"]},
    "BUSI": {
        "pairs": "{above}{group}/{group} ({number}) -> {above}{group}/{group} ({number})_mask"
                 " + {above}{group}/{group} ({number})_mask_*",
        "classes": _one("lesion")},
    "GlaS": {  # masks number the glands
        "pairs": ["{above}train_{number} -> {above}train_{number}_anno",
                  "{above}test{letter}_{number} -> {above}test{letter}_{number}_anno"],
        "threshold": 0, "classes": ["background", "gland"]},
    "DSB 2018": {"pairs": "{above}{case}/images/{case} -> {above}{case}/masks/*"},
    # ---- a form, not a data set: sslseg.json names its classes
    "VOC": {
        "pairs": ["{above}JPEGImages/{case} -> {above}SegmentationClassPNG/{case}",
                  "{above}JPEGImages/{case} -> {above}SegmentationClass/{case}"]},
}  # fmt: skip

# First frame of each of the 29 videos of CVC-ClinicDB, as its description lists them: frames of one video
# on both sides of a division would make every score too good.
VIDEOS = (1, 26, 51, 68, 79, 104, 127, 152, 178, 200, 206, 228, 253, 278, 298, 318, 343, 364, 384, 409, 429,
          448, 467, 479, 504, 529, 547, 572, 592)  # fmt: skip


def video(number: str) -> str:
    """The video of CVC-ClinicDB that a frame is of."""
    return f"video{bisect.bisect_right(VIDEOS, int(number)):02d}"


@cache
def rules(name: str) -> tuple[Rule, ...]:
    """The rules of a layout."""
    told = LAYOUTS[name]["pairs"]
    return tuple(rule(text) for text in ([told] if isinstance(told, str) else told))


def fitting(files: Sequence[str]) -> list[str]:
    """The layouts that files are in: with an image and its mask, or all channels of one with several.

    Args:
        files: paths from the root, sorted.
    """
    text = "\n".join(files).casefold()
    likely = [name for name in LAYOUTS if _likely(name, text)]
    found = {name: cases(rules(name), tuple(files))[0] for name in likely}
    return [name for name in likely if any(case.masks or len(case.images) > 1 for case in found[name])]


def _likely(name: str, text: str) -> bool:
    """Whether all that stands literally in one of the rules occurs: rules are tried on few folders then."""
    patterns = [(*one.images, *(mask.pattern for mask in one.masks[:1])) for one in rules(name)]
    return any(all(part in text for p in held for part in literals(p)) for held in patterns)
