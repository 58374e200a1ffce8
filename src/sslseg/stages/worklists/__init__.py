"""The pool, the scores and the simulated gain of a worklist."""
