"""How an entry script begins: signals are kept before what takes tenths of a second is imported."""

from sslseg.config import early


def main(stage: str, argv: list[str] | None = None, method: str | None = None) -> None:
    """Run a stage and exit, see `launch.main`."""
    early.keep()
    from sslseg import launch

    launch.main(stage, argv, method)
