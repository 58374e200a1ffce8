"""Where the cells of a sweep, or the trials of a tuning, run. One file a back-end, by its name.

Contract of a back-end (tests/contracts/test_executors.py):

- `places(p) -> (cells at a time, CPU threads of each)`, of a `params.Workers`; it starts no worker.
- `run(graph, work, p) -> Iterator[Outcome]` takes what is `graph.ready()`, gives every job exactly one
  Outcome and closes it on the graph. `work(job)` is a picklable function; what it returns is the Outcome's value
  (a cell's run ID). It runs in a warm process. A job whose process died is tried again `RETRIES` times, and goes
  on from its checkpoint. When the generator is closed or thrown into, its processes end and none of their runs is
  left RUNNING.

`_crew.run` is that `run`, for whoever can start tasks somewhere and tell which are over (`_crew.Queue`).
"""

import os
import sys

RETRIES = 2  # of a job whose process died: killed, out of memory, its machine lost


def path() -> str:
    """Where workers elsewhere find what this process can import, as multiprocessing hands it on."""
    return os.pathsep.join(os.path.abspath(folder) for folder in sys.path)
