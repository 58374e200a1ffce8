"""Accounts on a team's server: one for each permission that its test tries."""

from __future__ import annotations

from team.server import Server

MEMBER, VIEWER, GUEST = "member", "viewer", "guest"
# user -> permission on every experiment and every registered model. Nothing granted leaves an account that can
# make experiments and models of its own; DENY takes that away too.
GRANTS = {MEMBER: "EDIT", VIEWER: "READ", GUEST: "DENY"}
KINDS = ("experiment", "registered_model")


def add(server: Server) -> None:
    """Make them, with their permissions; those that are there already stay as they are."""
    for user, permission in GRANTS.items():
        if user in server.passwords:
            continue
        server.add_user(user)
        for kind in KINDS:
            asked = {"username": user, "resource_type": kind, "resource_id": "*", "permission": permission}
            server.ask("POST", "/api/3.0/mlflow/users/permissions/grant", json=asked).raise_for_status()
