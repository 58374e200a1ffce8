"""Benchmarks: the same work here and elsewhere, as one ratio that anyone can measure again.

    make bench                      # all of them; writes results.json and the table in docs/reference/performance.md
    python -m benchmarks P1 P3      # some of them; their rows are replaced, the others stay
    python -m benchmarks --table    # only the table again
    python -m benchmarks.statistics # not of speed: what verdicts and intervals promise, docs/explanation/statistics.md

A benchmark is one file `benchmarks/p<n>*.py` (or `b<n>*.py`) with a tuple `QUESTIONS` of `compare.Question`, one per peer:

    from benchmarks.compare import Answer, Question, compare, need

    def measure() -> Answer:
        peer = need("albumentations")               # PeerMissingError: said, and not counted
        ours, theirs = ...                          # built here: not timed
        check(ours(), theirs())                     # the same work? asserted before anything is timed
        return compare({"ours": ours, "peer": theirs}).answer(per_second=64)

    QUESTIONS = (Question("P1c", "two 224 px views per slice from memory", "albumentations, uint8",
                          measure, reach=5, moonshot=10, packages=("albumentations",)),)

`ours` and `peer` are calls without arguments that do one fixed piece of work. `compare` calls every variant
once unmeasured, then at least seven rounds in which each has its turn, in a new random order, in one process
and on one thread, under the CPU clock (`clock=cpu_of_children` where the work is done by child processes).
The ratio is median(peer) / median(ours), the spread the lowest and highest ratio of any round. More variants
may run along (a matrix product, for the peak); `Answer.extra` takes what else is to be known. Numbers that are
no ratio of times (an exponent, say) are an `Answer` made by hand, with `at_most=True` where less is better.
Peers run in the fastest setting that they document; the file says where that is. Importing a benchmark must
not import its peer. Whatever must hold (`check`) takes its size as an argument, and has a small test in tests/.
"""

import os

# Before numpy and torch are imported: they read it once.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
