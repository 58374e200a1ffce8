"""What is known of the patients that the compared encoders have seen, in sentences for page and figures."""

from __future__ import annotations

import pandas as pd


def sentences(runs: pd.DataFrame) -> list[str]:
    """One for encoders that have seen val or test patients, and one for those of whom nobody knows it."""
    found = []
    for mark, said in (
        (
            runs["transductive"],
            "TRANSDUCTIVE: the encoders of {runs} have seen val or test patients ({arms})",
        ),
        (
            runs["exposure"] == "unknown",
            "EXPOSURE UNKNOWN: nobody knows whether the imported weights behind {runs} have seen val or test "
            "patients ({arms})",
        ),
    ):
        if count := int(mark.sum()):
            arms = ", ".join(sorted(set(runs.loc[mark, "arm"])))
            found.append(said.format(runs=f"{count} run{'' if count == 1 else 's'}", arms=arms))
    return found
