"""At how many seeds a verdict is read, and with which error rate, so that seeds may be added after looking.

A group-sequential rule by Bonferroni's inequality: the error rate of a family is divided over the looks that there
will ever be. Whoever looks after three seeds, runs two more and looks again, errs no more often than stated. Seeds
between two looks wait for the next one; if they were read at once, each would be a look of its own.
"""

ALPHA = 0.05  # of a family, over all its pairs and all looks
# seeds -> share of the error rate, chosen by simulation
SHARES = {3: 0.4, 5: 0.24, 10: 0.2, 20: 0.1, 40: 0.06}
# seeds -> chance that a pipeline of equal mean whose collapses were not seen is called the better of one of its two pairs,
# with scratch and with supervised, by how often it collapses (`collapse.RATES`, `collapse.unseen`); chosen by simulation
UNSEEN = {3: (0.011, 0.011), 5: (0.021, 0.019), 10: (0.015, 0.006), 20: (0.005, 0.001), 40: (0.002, 0.001)}
MOST = max(SHARES)


def look(seeds: int) -> int:
    """Seeds that are read where there are so many; 0 below the first look."""
    return max((n for n in SHARES if n <= seeds), default=0)


def following(seeds: int) -> tuple[int, ...]:
    """The looks that are still to come."""
    return tuple(n for n in SHARES if n > seeds)


def granted(seeds: int, pairs: int = 2) -> tuple[float, ...]:
    """`UNSEEN` in each of so many `pairs` of the better one: a reference that collapses unseen leads in all of its own."""
    return tuple(chance * 2 / max(pairs, 2) for chance in UNSEEN[seeds])


def error_rate(seeds: int, pairs: int) -> float:
    """Error rate of one interval at a look, in a family of so many `pairs`."""
    return ALPHA * SHARES[seeds] / pairs
