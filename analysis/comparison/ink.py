"""The ink of a pipeline: a colour and a marker that follow from its kind and from how its hops learn.

Nothing else enters, so a pipeline looks the same in every figure of every store.
"""

import zlib

from sslseg.plans.pipelines import KINDS, VARIANTS, Pipeline

BLACK, ROUND = "#000000", "o"  # of random weights alone
# Okabe and Ito's colours without yellow, and six between them: any two differ by at least 12 (CIEDE2000) for
# normal, red-blind and green-blind eyes, by at least 2:1 from white
COLOURS = ("#E69F00", "#0072B2", "#56B4E9", "#C30F3C", "#2D00D2", "#009E73",
           "#781E3C", "#CC79A7", "#4B4B00", "#D55E00", "#691E69", "#1E7869")  # fmt: skip
MARKERS = ("^", "p", "s", "D", "d", ">", "<", "h", "8", "X", "*", "v", "P")
# places of these ways to learn, in figures and on both rings; others get one from their names
HOWS = ("supervised", "byol", "moco", "simclr", "swav", "barlow", "vicreg", "densecl", "dino", "pcl", "cpc",
        "masked", "denoising", "jigsaw", "position", "colourisation", "classification")  # fmt: skip
# kind -> where its pipelines start on the two rings: found by trying, so that two pipelines of one hop, or of
# ImageNet and one hop, never share both
STARTS = {"generalist": (1, 2), "specialist": (4, 12), "hierarchical": (8, 11), "own": (5, 7)}
STRIDE = (3, 10)  # on the two rings, a place of the way that the first of several hops learns
WITH_DECODER = 6  # markers further
WITH_VARIANT = 5  # markers further for the first of its words, and one more for each other


def of(pipeline: Pipeline) -> tuple[str, str]:
    """(colour, matplotlib's letter of the marker)."""
    further = sum(WITH_VARIANT + list(VARIANTS).index(word) for word in pipeline.variants)
    if not pipeline.hops:
        return BLACK, MARKERS[further % len(MARKERS)] if further else ROUND
    places = [place(hop.how) for hop in pipeline.hops]
    colour, marker = STARTS[pipeline.kind]
    before = places[0] if len(places) > 1 else 0
    data = zlib.crc32(pipeline.hops[-1].data.encode()) if pipeline.kind == "own" else 0
    colour += places[-1] + STRIDE[0] * before + data
    marker += places[-1] + STRIDE[1] * before + data + WITH_DECODER * pipeline.hops[-1].decoder + further
    return COLOURS[colour % len(COLOURS)], MARKERS[marker % len(MARKERS)]


def place(how: str) -> int:
    """Of a way to learn among all."""
    return HOWS.index(how) if how in HOWS else len(HOWS) + zlib.crc32(how.encode()) % 97


def order(pipeline: Pipeline) -> tuple:
    """What figures and tables sort by."""
    return KINDS.index(pipeline.kind), [place(hop.how) for hop in pipeline.hops], str(pipeline)
