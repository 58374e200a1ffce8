"""Print what makes a shell complete the words of `sslseg`: `source <(sslseg completion bash)`."""

import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the subcommand takes."""
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="the shell that is to complete them")


def run(options: argparse.Namespace) -> None:
    """Print the script: subcommands, stages, and the knobs of each with their choices."""
    import shtab

    print(shtab.complete(options.program, options.shell))
