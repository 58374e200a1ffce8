"""What somebody without permission tries, call by call, and what the server answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from team.server import ADMIN, Server

API, AJAX = "/api/2.0/mlflow", "/ajax-api/2.0/mlflow"


@dataclass(frozen=True)
class Attempt:
    """One call: what it would do, how it is spelled."""

    does: str
    method: str
    path: str
    content: dict


@dataclass(frozen=True)
class Prey:
    """Things of the team that are there."""

    experiment: str
    run: str
    artifact: str  # path below the run's artifacts
    model: str  # logged model
    name: str  # of a registered model, which has a version 1


def attempts(prey: Prey) -> Iterator[Attempt]:
    """Read, register, delete: each way that there is into the things of the team."""
    place = f"/api/2.0/mlflow-artifacts/artifacts/{prey.experiment}/{prey.run}/artifacts/{prey.artifact}"
    run, experiment = {"run_id": prey.run}, {"experiment_id": prey.experiment}
    version = {"name": prey.name, "version": "1"}
    source = {"name": prey.name, "source": f"models:/{prey.model}", "run_id": prey.run}
    point = run | {"key": "x", "value": 1, "timestamp": 1}
    yield Attempt("read a run", "GET", f"{API}/runs/get", {"params": run})
    yield Attempt("read an experiment", "GET", f"{API}/experiments/get", {"params": experiment})
    yield Attempt(
        "read a curve", "GET", f"{API}/metrics/get-history", {"params": run | {"metric_key": "test/iou"}}
    )
    yield Attempt("read curves in bulk", "GET", f"{AJAX}/metrics/get-history-bulk",
                  {"params": run | {"metric_key": "test/iou"}})  # fmt: skip
    yield Attempt("list artifacts", "GET", f"{API}/artifacts/list", {"params": run})
    yield Attempt("download an artifact", "GET", place, {})
    yield Attempt("read a model", "GET", f"{API}/logged-models/{prey.model}", {})
    yield Attempt(
        "read a registered model", "GET", f"{API}/registered-models/get", {"params": {"name": prey.name}}
    )
    yield Attempt("read a version", "GET", f"{API}/model-versions/get", {"params": version})
    yield Attempt("log a metric", "POST", f"{API}/runs/log-metric", {"json": point})
    yield Attempt("start a run", "POST", f"{API}/runs/create", {"json": experiment})
    yield Attempt("start an experiment", "POST", f"{API}/experiments/create", {"json": {"name": "mine"}})
    yield Attempt("upload an artifact", "PUT", place, {"data": b"x"})
    yield Attempt("register a model", "POST", f"{API}/registered-models/create", {"json": {"name": "mine"}})
    yield Attempt("register a version", "POST", f"{API}/model-versions/create", {"json": source})
    yield Attempt(
        "move an alias", "POST", f"{API}/registered-models/alias", {"json": version | {"alias": "a"}}
    )
    yield Attempt("delete an artifact", "DELETE", place, {})
    yield Attempt("delete a run", "POST", f"{API}/runs/delete", {"json": run})
    yield Attempt("delete an experiment", "POST", f"{API}/experiments/delete", {"json": experiment})
    yield Attempt("delete a model", "DELETE", f"{API}/logged-models/{prey.model}", {})
    yield Attempt("delete a version", "DELETE", f"{API}/model-versions/delete", {"json": version})
    yield Attempt(
        "delete a registered model",
        "DELETE",
        f"{API}/registered-models/delete",
        {"json": {"name": prey.name}},
    )
    yield Attempt("make an account", "POST", f"{API}/users/create",
                  {"json": {"username": "other", "password": "long enough 123"}})  # fmt: skip
    yield Attempt("be made admin", "PATCH", f"{API}/users/update-admin",
                  {"json": {"username": "guest", "is_admin": True}})  # fmt: skip


def answers(server: Server, user: str, prey: Prey) -> dict[str, int]:
    """What is attempted -> HTTP status; 401 not known, 403 not allowed."""
    return {a.does: server.ask(a.method, a.path, user, **a.content).status_code for a in attempts(prey)}


def prey(server: Server) -> Prey:
    """Some run of the default experiment with a registered encoder, as the admin sees it.

    Raises:
        LookupError: there is none yet.
    """
    found = server.ask("GET", f"{API}/model-versions/search", ADMIN).json().get("model_versions", [])
    for version in found:
        run = server.ask("GET", f"{API}/runs/get", ADMIN, params={"run_id": version["run_id"]}).json()["run"]
        listed = server.ask(
            "GET", f"{API}/artifacts/list", ADMIN, params={"run_id": version["run_id"]}
        ).json()
        place = run["info"]["experiment_id"]
        files = [f["path"] for f in listed.get("files", []) if not f.get("is_dir")]
        if version["version"] == "1" and version["name"].startswith("encoder") and place == "0" and files:
            model = version["source"].removeprefix("models:/")
            return Prey(place, version["run_id"], files[0], model, version["name"])
    raise LookupError("no registered model whose run has a file")
