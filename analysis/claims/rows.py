"""The paper's five pipelines, and groups of them."""

GENERALIST = ("supervised", "byol@natural")
SPECIALIST = "byol@target"
MIXED, BEST = "supervised+byol@target", "byol@natural+byol@target"
FIVE = (*GENERALIST, SPECIALIST, MIXED, BEST)
