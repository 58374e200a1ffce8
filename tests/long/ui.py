"""Pages of the MLflow UI as pictures: ``python -m tests.long.ui http://127.0.0.1:5000 docs/ui``.

Drives the Chromium of this machine (`pip install playwright`; no browser is downloaded). The server has to be
running, on a store with an analysis and a registry. Look at the pictures before they are committed: a run's
figures may show patients.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from mlflow import MlflowClient

MODE = "workflowType=machine_learning"
SIZE = {"width": 1600, "height": 1000}
SECONDS = 300  # a busy machine draws slowly


def pages(uri: str) -> dict[str, tuple[str, str, int]]:
    """Name -> (path after the #, text to wait for, height that is kept in pixels)."""
    api = MlflowClient(uri)
    (run,) = api.search_runs(
        [e.experiment_id for e in api.search_experiments()],
        "tags.`sslseg.stage` = 'analyse' and attributes.status = 'FINISHED'",
        max_results=1,
    )
    place = f"/experiments/{run.info.experiment_id}/runs"
    found = {
        "runs": (f"{place}?{MODE}", run.info.run_name, 700),
        "report": (f"{place}/{run.info.run_id}/artifacts/report.html?{MODE}", "report.html", 1000),
    }
    for model in api.search_registered_models("tags.`sslseg.kind` = 'encoder'", max_results=1):
        told = [
            v for v in api.search_model_versions(f"name = '{model.name}'") if v.description.startswith("> ")
        ]
        found["registry"] = (f"/models/{model.name}?{MODE}", "Versions", 900)
        if told:
            found["card"] = (
                f"/models/{model.name}/versions/{told[0].version}?{MODE}",
                "Where it comes from",
                730,
            )
    return found


def shoot(uri: str, folder: Path, settle: float) -> None:
    """Write a PNG of every page."""
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(SECONDS * 1000)
        for name, (path, text, height) in pages(uri).items():
            page.goto(f"{uri}/#{path}", wait_until="commit")
            page.get_by_text(text).first.wait_for()
            page.wait_for_timeout(settle * 1000)
            clip = {"x": 0, "y": 0, "width": SIZE["width"], "height": height}
            page.screenshot(path=folder / f"{name}.png", clip=clip)
            print(folder / f"{name}.png", flush=True)
        browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.long.ui", description=__doc__.splitlines()[0])
    parser.add_argument("uri")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--settle", type=float, default=10, help="seconds between the text and the picture")
    asked = parser.parse_args()
    shoot(asked.uri.rstrip("/"), asked.folder, asked.settle)
