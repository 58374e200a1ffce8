"""Floor 2: where the cells of a sweep run. One file a back-end; the file name is its name.

Contract of a back-end: `run(jobs, work, workers, address) -> Iterator[Outcome]`. `jobs` is called
with the set of finished names and returns the jobs that became ready; `work(job)` is a picklable
function that runs in a warm process and returns a run ID.
"""
