"""The numbers of a phantom's population: what is asked for, per group.

Measured on the 150 ACDC patients (mean, sd per group; indexed to body surface area), limits from
the challenge's inclusion criteria. HCM's criterion of mass (110 g/m2) is not asked for, as ACDC's
own masks do not meet it (mean 90 g/m2); its thick segment (15 mm) is.
"""

import numpy as np

GROUPS = ("DCM", "HCM", "MINF", "NOR", "RV")
DENSITY = 1.05  # g/ml of myocardium, as the ACDC challenge computes mass

# per group: (mean, sd, lowest, highest); volumes ml/m2, fractions %, mass g/m2
_DISTRIBUTIONS = {
    "DCM": {"edv": (150, 26, 102, 215), "ef": (20, 8, 8, 38), "mass": (88, 14, 60, 120),
            "rv_edv": (95, 30, 50, 160), "rv_ef": (34, 14, 10, 65)},
    "HCM": {"edv": (68, 15, 42, 100), "ef": (70, 8, 56, 84), "mass": (92, 25, 68, 150),
            "rv_edv": (63, 14, 38, 95), "rv_ef": (59, 9, 42, 76)},
    "MINF": {"edv": (96, 22, 60, 145), "ef": (31, 7, 16, 39), "mass": (71, 14, 48, 100),
             "rv_edv": (66, 18, 38, 105), "rv_ef": (53, 11, 30, 72)},
    "NOR": {"edv": (70, 13, 45, 79), "ef": (62, 6, 52, 75), "mass": (53, 11, 36, 72),
            "rv_edv": (79, 15, 45, 98), "rv_ef": (53, 7, 42, 70)},
    "RV": {"edv": (66, 17, 38, 100), "ef": (57, 7, 45, 72), "mass": (46, 10, 32, 68),
           "rv_edv": (124, 30, 85, 190), "rv_ef": (34, 13, 12, 58)},
}  # fmt: skip
# LV length at ED in mm, share of it lost at ES, labelled MYO volume ES / ED
LENGTH = {"DCM": (97, 0.02, 1.07), "HCM": (89, 0.14, 1.16), "MINF": (85, 0.02, 1.12),
           "NOR": (81, 0.11, 1.16), "RV": (75, 0.09, 1.12)}  # fmt: skip
MEAN_EDV = {"DCM": 283.0, "HCM": 132.0, "MINF": 181.0, "NOR": 130.0, "RV": 117.0}
# cavity area from base (first) to apex (last), share of the largest: (structure, ES?) -> profile
PROFILE = {
    ("LV", 0): (0.90, 0.93, 0.96, 0.95, 0.92, 0.85, 0.75, 0.61, 0.47, 0.32, 0.15),
    ("RV", 0): (0.92, 0.93, 0.87, 0.77, 0.64, 0.51, 0.39, 0.29, 0.21, 0.14, 0.06),
    ("LV", 1): (0.98, 0.88, 0.83, 0.85, 0.84, 0.77, 0.64, 0.49, 0.34, 0.21, 0.09),
    ("RV", 1): (0.27, 0.69, 0.88, 0.82, 0.69, 0.53, 0.39, 0.27, 0.17, 0.10, 0.04),
}


def _bounded(rng: np.random.Generator, mean: float, sd: float, low: float, high: float) -> float:
    """A normal number, drawn again while outside its limits."""
    while True:
        x = rng.normal(mean, sd)
        if low <= x <= high:
            return float(x)


def draw_clinical(rng: np.random.Generator, group: str) -> dict[str, float]:
    """Asked-for numbers of a patient of `group`: cm, kg, m2, ml, %, g."""
    distribution = _DISTRIBUTIONS[group]
    height = round(_bounded(rng, 170.5, 9.5, 148, 195), 0)
    weight = round(_bounded(rng, {"HCM": 85, "RV": 67}.get(group, 77), 13, 48, 120), 0)
    bsa = 0.007184 * weight**0.425 * height**0.725  # Du Bois
    edv, ef = _bounded(rng, *distribution["edv"]) * bsa, _bounded(rng, *distribution["ef"])
    rv_index = _bounded(rng, *distribution["rv_edv"])
    mean, sd, low, high = distribution["rv_ef"]
    if group == "RV" and rv_index <= 110:  # included by size or by function
        high = 39
    rv_ef = _bounded(rng, mean, sd, low, high)
    mass, mass_sd, light, heavy = distribution["mass"]
    if group != "HCM":  # a small heart with much muscle would have the thick wall that only HCM has
        heavy = min(heavy, 0.95 * edv / bsa)
    return {
        "height_cm": height, "weight_kg": weight, "bsa_m2": bsa,
        "lv_edv_ml": edv, "lv_esv_ml": edv * (1 - ef / 100), "lv_ef_percent": ef,
        "rv_edv_ml": rv_index * bsa, "rv_esv_ml": rv_index * bsa * (1 - rv_ef / 100), "rv_ef_percent": rv_ef,
        "lv_mass_g": _bounded(rng, mass, mass_sd, light, heavy) * bsa,
    }  # fmt: skip
