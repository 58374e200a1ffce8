"""Pages of the MLflow UI as pictures: ``python -m tests.reliability.long.ui http://127.0.0.1:5000 docs/ui``.

Drives the Chromium of this machine (`pip install playwright`; no browser is downloaded). The server has to be
running, on a store with an analysis and a registry. Look at the pictures before they are committed: a run's
figures may show patients.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mlflow import MlflowClient

MODE = "workflowType=machine_learning"
SIZE = {"width": 1600, "height": 1000}
CARD = "Where it comes from"  # a heading of a pretrained encoder's card; imported ones have none
SECONDS = 300  # a busy machine draws slowly
# what MLflow's UI notes in the browser at a first visit, when it has opened the assistant's panel by itself
SEEN = "localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true')"
FINETUNED = (
    "tags.`sslseg.stage` = 'finetune' and attributes.status = 'FINISHED' and params.`cfg.budget` != ''"
    " and tags.`sslseg.sweep_run_id` != ''"
)


def pages(uri: str) -> dict[str, tuple[str, str, int]]:
    """Name -> (path after the #, text to wait for, height that is kept in pixels); only of what the store has."""
    api = MlflowClient(uri)
    found = {}
    for run in _runs(api, "tags.`sslseg.stage` = 'analyse' and attributes.status = 'FINISHED'", 1):
        place = f"/experiments/{run.info.experiment_id}/runs"
        found["runs"] = (f"{place}?{MODE}", run.info.run_name, 700)
        found["report"] = (f"{place}/{run.info.run_id}/artifacts/report.html?{MODE}", "report.html", 1000)
    for model in api.search_registered_models("tags.`sslseg.kind` = 'segmenter'", max_results=1):
        found["registry"] = (f"/models/{model.name}?{MODE}", "Versions", 900)
    for model in api.search_registered_models("tags.`sslseg.kind` = 'encoder'", max_results=1):
        told = [
            v
            for v in api.search_model_versions(f"name = '{model.name}'")
            if v.description.startswith("> ") and CARD in v.description
        ]
        if told:
            found["card"] = (
                f"/models/{model.name}/versions/{told[0].version}?{MODE}",
                CARD,
                730,
            )
    if equal := _of_one_budget(api):
        runs, experiments = (
            json.dumps(v) for v in ([r.info.run_id for r in equal], [equal[0].info.experiment_id])
        )
        found["compare"] = (
            f"/compare-runs?runs={quote(runs)}&experiments={quote(experiments)}&{MODE}",
            f"Comparing {len(equal)} Runs",
            1000,
        )
    return found


def _runs(api: MlflowClient, query: str, most: int) -> list[Any]:
    return list(api.search_runs([e.experiment_id for e in api.search_experiments()], query, max_results=most))


def _of_one_budget(api: MlflowClient) -> list[Any]:
    """Fine-tunings on equally many slices, by pipeline and seed."""
    found = _runs(api, FINETUNED, 200)
    equal = [run for run in found if run.data.params["cfg.budget"] == found[0].data.params["cfg.budget"]]
    return sorted(equal, key=lambda run: (run.data.tags["sslseg.pipeline"], run.data.params["by.seed"]))


def open_charts(page: Any, uri: str) -> None:
    """Clicks as docs/how-to/ui.md tells them: curves of one budget, grouped by pipeline."""
    (run, *_) = _runs(MlflowClient(uri), FINETUNED, 1)
    budget = run.data.params["cfg.budget"]
    search = quote(f"tags.`sslseg.stage` = 'finetune' and params.`cfg.budget` = '{budget}'")
    where = f"/experiments/{run.info.experiment_id}/runs?searchFilter={search}&compareRunsMode=CHART&{MODE}"
    page.goto(f"{uri}/#{where}", wait_until="commit")
    page.get_by_text("matching runs").wait_for()
    page.get_by_text("Group by").first.click()
    page.get_by_placeholder("Search", exact=True).fill("pipeline")
    page.get_by_text("sslseg.pipeline").last.click()
    page.get_by_text("Group: ").first.wait_for()
    page.keyboard.press("Escape")
    page.get_by_placeholder("Search metric charts").fill("val/iou")
    page.get_by_text("val/iou", exact=True).first.wait_for()


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
        page.add_init_script(SEEN)

        def keep(name: str, height: int) -> None:
            page.wait_for_timeout(settle * 1000)
            clip = {"x": 0, "y": 0, "width": SIZE["width"], "height": height}
            page.screenshot(path=folder / f"{name}.png", clip=clip)
            print(folder / f"{name}.png", flush=True)

        for name, (path, text, height) in pages(uri).items():
            page.goto(f"{uri}/#{path}", wait_until="commit")
            page.get_by_text(text).first.wait_for()
            keep(name, height)
        open_charts(page, uri)
        keep("charts", SIZE["height"])
        browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m tests.reliability.long.ui", description=__doc__.splitlines()[0]
    )
    parser.add_argument("uri")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--settle", type=float, default=10, help="seconds between the text and the picture")
    asked = parser.parse_args()
    shoot(asked.uri.rstrip("/"), asked.folder, asked.settle)
