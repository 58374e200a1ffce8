"""`sslseg <stage>` runs a stage, as its entry point in MLproject does; other subcommands look things up."""

import argparse
import sys
from importlib.metadata import version
from typing import Any, NoReturn

from sslseg import launch
from sslseg.config import flags, mlproject, names, plugins
from sslseg.config.texts import nearest, quoted, sentence
from sslseg.execute import EXIT_INTERRUPTED
from sslseg.tracking import processes

# name -> (stage, method, parameters) of every entry point, for where there is no checkout to `mlflow run`
STAGES = {
    name: (script.partition(".")[0], script.partition(" ")[2] or None, cls)
    for name, script, cls in mlproject.entry_points()
    if name != "main"
}


class _Parser(argparse.ArgumentParser):
    def parse_known_args(self, *given: Any) -> Any:  # type: ignore[override]
        """A subcommand tells itself what it does not know."""
        found, left = super().parse_known_args(*given)
        if left:
            self.error(f"unrecognized arguments: {' '.join(left)}")
        return found, left

    def error(self, message: str) -> NoReturn:  # one sentence, no usage dump
        self.exit(names.EXIT_USAGE, f"{self.prog}: {message}; `{self.prog} --help` says what it takes\n")


def _parser() -> argparse.ArgumentParser:
    made = _Parser(prog="sslseg", description="Run a stage, or look things up, which leaves no run.")
    made.add_argument("--version", action="version", version=f"%(prog)s {version('sslseg')}")
    made.set_defaults(program=made)  # for the completion of its words
    commands = made.add_subparsers(dest="command", required=True, metavar="command")
    for name in plugins.names("commands"):
        module = plugins.load("commands", name)
        summary = (module.__doc__ or "").splitlines()[0]
        module.arguments(commands.add_parser(name, help=summary, description=summary))
    for name, (_, _, cls) in STAGES.items():
        stage = commands.add_parser(name, help=f"stage: {flags.first_line(cls)}")
        flags.add(stage, cls, choices=True)  # a stage parses its own; these are for completion
    return made


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; returns the exit code, or exits with a stage. Errors are one line on stderr."""
    processes.outlive_reader()
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in STAGES:
        stage, method, _ = STAGES[argv[0]]
        launch.main(stage, argv[1:], method)
    known = [*plugins.names("commands"), *STAGES]
    parser = _parser()
    if argv and not argv[0].startswith("-") and argv[0] not in known:
        close = nearest(argv[0], known)
        parser.error(f"no command {quoted(argv[0])}" + (f" (did you mean {close}?)" if close else ""))
    options = parser.parse_args(argv)
    try:
        plugins.load("commands", options.command).run(options)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except Exception as error:
        print(f"sslseg {options.command}: {sentence(error)}", file=sys.stderr)
        return getattr(error, "exit_code", names.EXIT_FAILED)  # of an SslsegError
    return 0


if __name__ == "__main__":
    sys.exit(main())
