"""Write the pages that are readings of the code: `python docs/generate.py`; a test fails while they are stale."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from sslseg.config import flags, mlproject, plugins
from sslseg.data.folders.pairing.layouts import LAYOUTS

HERE = Path(__file__).parent


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def stages() -> Iterator[str]:
    """A section for each entry point, a row for each knob."""
    yield "# Entry points and knobs\n"
    yield "Made from the dataclasses of `src/sslseg/config/params/` and of the methods by `make mlproject`.\n"
    yield "`mlflow run . -e <entry point> --env-manager local -P name=value`, or `sslseg <entry point> --name value`.\n"
    for name, _, cls in mlproject.entry_points():
        if name == "main":
            continue
        yield f"## {name}\n\n{flags.first_line(cls)}\n\n| knob | default | meaning |\n|---|---|---|"
        for knob, (field, meta, _) in flags.knobs(cls).items():
            yield f"| `{knob}` | {_cell(flags.default(field, meta))} | {_cell(flags.meaning(meta))} |"
        yield ""


def commands() -> Iterator[str]:
    """The help of each subcommand that is no stage."""
    yield "# Commands\n\nMade from the commands' own help by `make mlproject`.\n"
    for name in plugins.names("commands"):
        module = plugins.load("commands", name)
        parser = argparse.ArgumentParser(prog=f"sslseg {name}", add_help=False, formatter_class=_Wide)
        module.arguments(parser)
        summary = (module.__doc__ or "").strip()
        yield f"## sslseg {name}\n\n{summary}\n\n```text\n{parser.format_help().strip()}\n```\n"


def layouts() -> Iterator[str]:
    """The table of public data sets that are understood as they are unpacked."""
    yield "# Layouts that are known\n\nMade from `src/sslseg/data/folders/pairing/layouts.py` by `make mlproject`.\n"
    yield "Patterns are those of [`pairs`](data.md#pairs). `{above}` stands for any folders.\n"
    yield "| data set | image → mask | classes and their values |\n|---|---|---|"
    for name, told in LAYOUTS.items():
        pairs = told["pairs"] if isinstance(told["pairs"], list) else [told["pairs"]]
        shown = "<br>".join(f"`{pair}`" for pair in pairs)
        yield f"| {name} | {shown} | {_classes(told)} |"


def _classes(told: dict) -> str:
    classes, threshold = told.get("classes", {}), told.get("threshold")
    if threshold is not None:
        return f"{', '.join(list(classes)[1:]) or 'as named'}: above {threshold}"
    if isinstance(classes, list):
        classes = {name: number for number, name in enumerate(classes) if number}
    values = {name: value if isinstance(value, list) else [value] for name, value in classes.items()}
    otherwise = (
        "as named"
        if "{class}" in str(told["pairs"]) or " as " in str(told["pairs"])
        else "foreground, unless sslseg.json names them"
    )
    return ", ".join(f"{name} {' or '.join(map(str, held))}" for name, held in values.items()) or otherwise


class _Wide(argparse.HelpFormatter):
    """Of one width, whatever the terminal."""

    def __init__(self, prog: str):
        super().__init__(prog, width=100)


PAGES = {"reference/stages.md": stages, "reference/commands.md": commands, "reference/layouts.md": layouts}


def main() -> None:
    """Write every page."""
    for name, lines in PAGES.items():
        (HERE / name).write_text("\n".join(lines()).rstrip("\n") + "\n")


if __name__ == "__main__":
    main()
