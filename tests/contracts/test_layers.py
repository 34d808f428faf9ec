"""Imports go left only, and each room keeps to its own things."""

import ast
from collections.abc import Iterator

from tests.conftest import ROOT

PACKAGE = ROOT / "promptcrafter"
FEATURES = [
    "auth",
    "idempotency",
    "prompts",
    "logs",
    "traces",
    "experiments",
    "ingest",
    "stats",
    "transfer",
    "moving",
    "status",
    "metrics",
    "web",
    "cli",
]  # from left to right; what is not named lies left of all
SEES_REQUESTS = {
    "headers",
    "views",
    "principal",
    "throttle",
    "error_handlers",
    "observe",
    "api",
    "intake",
    "lists",
    "replay",
    "metrics",
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        yield name.removesuffix(".__init__"), ast.parse(path.read_text(encoding="utf-8"))


def imports(tree: ast.Module) -> Iterator[str]:
    """Yield what a module imports, dotted, wherever in it the import stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(tree: ast.Module) -> Iterator[str]:
    for name in imports(tree):
        if name.startswith("promptcrafter."):
            yield name.removeprefix("promptcrafter.")


def rank(name: str) -> int:
    first = name.partition(".")[0]
    return FEATURES.index(first) + 1 if first in FEATURES else 0


def test_every_folder_is_a_known_feature() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders <= set(FEATURES)


def test_imports_go_left_only() -> None:
    for name, tree in modules():
        if name != "__init__":
            assert [found for found in ours(tree) if rank(found) > rank(name)] == [], name


def test_inside_a_feature_schemas_know_neither_models_nor_store_and_stores_no_views() -> None:
    allowed = {"schemas": {"schemas"}, "models": {"models"}, "search": {"models"}}
    allowed["store"] = {"models", "search", "tables"}
    for name, tree in modules():
        feature, _, part = name.partition(".")
        if part in allowed:
            own = {found.split(".")[1] for found in ours(tree) if found.startswith(f"{feature}.")}
            assert own <= allowed[part], name


def test_only_some_rooms_see_the_request_and_only_stores_query() -> None:
    for name, tree in modules():
        last = name.rpartition(".")[2]
        names = set(imports(tree))
        if last not in SEES_REQUESTS:
            assert not names & {"flask.request", "flask.g"}, name
        if "promptcrafter.db.session" in names:
            assert last in {"store", "restore", "keyset", "lists", "transactions"}, name


def test_each_library_has_one_door() -> None:
    doors = {
        "flask_smorest": "api",
        "flask_sqlalchemy": "db",
        "flask_migrate": "revisions",
        "argon2": "auth.passwords",
        "limits": "auth.throttle",
        "flask_jwt_extended": "auth.principal",
        "prometheus_client": "metrics",
    }
    for library, door in doors.items():
        users = [name for name, tree in modules() if any(found.split(".")[0] == library for found in imports(tree))]
        assert users == [door], library


def test_no_module_commits_but_those_that_own_the_transaction() -> None:
    def attributes(tree: ast.Module) -> set[str]:
        return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}

    assert [name for name, tree in modules() if attributes(tree) & {"commit", "begin"}] == ["db", "transactions"]


def test_files_stay_short() -> None:
    lines = {str(path): len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}
    assert {path: count for path, count in lines.items() if count > 300} == {}
