"""Looking things up. The file name is the subcommand; none of them leaves a run.

A subcommand is a module with a docstring (its first line is the help), `arguments(parser)` and
`run(options) -> None`, which prints.
"""
