"""Floor 2: where the cells of a sweep run. One file a back-end; the file name is its name.

Contract of a back-end: `run(graph, work, workers, devices) -> Iterator[Outcome]`. It takes what is
`graph.ready()`, gives every job exactly one Outcome and closes it on the graph; `work(job)` is a picklable
function that runs in a warm process and returns a run ID.
"""
