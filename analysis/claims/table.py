"""The claims of the paper, in our words, each with the rule that decides it."""

from functools import partial

from analysis.claims import amounts, convergence
from analysis.claims.common import against_each
from analysis.claims.records import Claim
from analysis.claims.rows import BEST, FIVE, GENERALIST, MIXED, SPECIALIST

CLAIMS: tuple[Claim, ...] = (
    Claim("C0", "There are five pipelines: two generalist, one specialist, two hierarchical.",
          "Fig. 1", FIVE, amounts.lineages, "each is there, and its lineage in the store is the one it is called by",
          amounts.every),
    Claim("C1", "Hierarchical pretraining converges faster than generalist or specialist pretraining.",
          "5.1, Fig. 3a", FIVE, convergence.hierarchical_faster,
          "steps to 95 % of the own final IoU (first reached), the other three over the two: ratio above 1"),
    Claim("C1s", "BYOL ImageNet + BYOL ACDC is the most stable.",
          "abstract, 5.1, Fig. 3b", FIVE, convergence.most_stable,
          "mean distance of the areas from their median: each other is larger (ratio above 1, four intervals corrected)"),
    Claim("C2", "The other pipelines take 4 to 5 times the steps of BYOL ImageNet + BYOL ACDC.",
          "5.1", FIVE, partial(convergence.times_as_long, rows=FIVE[:-1]),
          "ratio of steps to 95 % of the own final IoU (first reached): interval within 4/1.5 to 5 × 1.5"),
    Claim("C3", "BYOL ImageNet + BYOL ACDC converges 4 to 5 times faster than ImageNet pretraining.",
          "abstract", ("supervised", BEST), partial(convergence.times_as_long, rows=("supervised",)),
          "as C2, against supervised ImageNet alone"),
    Claim("C4", "BYOL ImageNet + BYOL ACDC has the largest area under the learning curve.",
          "our reading of Fig. 3b; section 5.1 says that the areas highlight its stability, not that its area is the largest",
          FIVE, partial(against_each, key="area", row=BEST, others=FIVE[:-1], wanted="better"),
          "better than each of the other four, paired, one family"),
    Claim("C5", "Supervised ImageNet + BYOL ACDC ends at a lower IoU than any other pipeline.",
          "5.1", FIVE, partial(against_each, key="final_iou", row=MIXED, others=(*GENERALIST, SPECIALIST, BEST), wanted="worse"),
          "worse than each of the other four, paired, one family"),
    Claim("C6", "BYOL ACDC alone is as good as supervised ImageNet + BYOL ACDC.",
          "5.1, Fig. 3b", (SPECIALIST, MIXED),
          partial(against_each, key="area", row=SPECIALIST, others=(MIXED,), wanted="equivalent"),
          "areas equivalent within 0.01"),
    Claim("C7", "With little data generalist pretraining beats hierarchical; supervised ImageNet is the best.",
          "abstract, 5.2, Fig. 4", FIVE, amounts.generalist_in_low_data,
          f"test Jaccard loss up to {amounts.LOW_DATA} slices: generalist better, supervised best", amounts.low),
    Claim("C8", "Error falls as a power law below 30 slices and slower above 75.",
          "5.2, Fig. 4", GENERALIST, amounts.transition,
          "an evident knee whose interval meets 30 to 75 and lies within 10 to 225 slices", amounts.every),
    Claim("C9", "Fewer than 100 annotated slices come close to the least error.",
          "abstract", ("supervised",), amounts.few_slices_suffice,
          f"within {amounts.CLOSE:g} % of the full-data score, upper limit below 100 slices", amounts.every),
    Claim("C10", "Three to four epochs of self-supervision on the target data are enough.",
          "5.3, Fig. 6", (BEST,), convergence.few_epochs_suffice,
          "area after 3 or 4 epochs at least equivalent to that after the most (> 4)"),
    Claim("C11", "A fine-tuning takes about 20 minutes.",
          "4.1", (BEST,), amounts.minutes, "geometric mean, interval within 20/1.5 to 20 × 1.5 minutes",
          substitutes=amounts.other_machine),
    Claim("C12", "After specialist pretraining the structures are segmented as in the ground truth.",
          "Fig. 5", (SPECIALIST,), amounts.segments, f"test IoU above {amounts.GOOD_IOU:g}"),
)  # fmt: skip
