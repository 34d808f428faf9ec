"""Imports go down only: the database imports no HTTP, HTTP no feature, a feature no dialect."""

import ast
from collections.abc import Iterator
from functools import cache

from tests.support.environment import ROOT

PACKAGE = ROOT / "promptcrafter"
GROUND = ""  # the modules beside the folders
ROOMS = [
    GROUND,
    "database",
    "http",
    *("auth", "workspaces", "idempotency", "prompts", "logs", "scores", "traces", "statistics", "experiments"),
    *("dialects", "transfer"),
    "maintenance",
    *("pages", "cli", "server"),
]  # from the bottom up
SEES_REQUESTS = {
    "views",
    "authentication",
    "credentials",
    "throttle",
    "decorator",
    "docs",
    "metrics",
    "logging",
    "status",
}  # beside http
QUERIES = {
    *(
        "store",
        "growing_store",
        "account_store",
        "invitation_store",
        "key_store",
        "member_store",
        "label_store",
        "list_store",
        "version_store",
        "early_arrivals",
        "span_scores",
        "scores",
        "arriving_scores",
        "score_columns",
        "configs",
        "reviews",
        "day_aggregates",
        "aggregation",
        "newest",
        "restore",
        "audit",
        "access",
    ),
    *("keyset", "lists", "transactions", "deletions"),
}


@cache
def modules() -> list[tuple[str, ast.Module]]:
    """Return each module but the package itself, which builds the application out of all of them."""
    paths = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted(PACKAGE.rglob("*.py"))
    }
    return [(name, ast.parse(path.read_text("utf-8"))) for name, path in paths.items() if name != "__init__"]


@cache  # each rule asks for those of all modules, and walking the trees takes long
def imports(tree: ast.Module) -> tuple[str, ...]:
    """Return the dotted names that a module imports, at its top or inside functions."""
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names += (f"{node.module}.{alias.name}" for alias in node.names)
    return tuple(names)


def ours(tree: ast.Module) -> Iterator[str]:
    for name in imports(tree):
        if name.startswith("promptcrafter."):
            yield name.removeprefix("promptcrafter.")


def room(name: str) -> str:
    first = name.partition(".")[0]
    return first if (PACKAGE / first).is_dir() else GROUND


@cache
def pure_modules() -> frozenset[str]:
    """Return the modules that import only the ground and each other, and no framework; any module may import them."""
    frameworks = {"flask", "sqlalchemy", "marshmallow", "werkzeug"}
    pure: set[str] = set()
    candidates = {
        name: {found for found in ours(tree) if room(found) != GROUND}
        for name, tree in modules()
        if room(name) != GROUND
        and not (PACKAGE / name.replace(".", "/")).is_dir()
        and not frameworks & {found.partition(".")[0] for found in imports(tree)}
    }
    while added := {
        name
        for name, found in candidates.items()
        if name not in pure and all(each in pure or each.rpartition(".")[0] in pure for each in found)
    }:
        pure |= added
    return frozenset(pure)


def test_every_folder_is_a_known_room() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(ROOMS) - {GROUND}


def test_imports_go_down_only() -> None:
    for name, tree in modules():
        above = [found for found in ours(tree) if ROOMS.index(room(found)) > ROOMS.index(room(name))]
        assert above == [], name


def test_the_ground_imports_no_framework_and_the_database_no_http() -> None:
    wire = {"marshmallow", "werkzeug", "webargs", "flask_smorest", "gunicorn"}
    for name, tree in modules():
        libraries = {found.partition(".")[0] for found in imports(tree)}
        if room(name) in (GROUND, "database"):
            assert not libraries & wire, name
        if room(name) == GROUND:
            assert not libraries & {"flask", "sqlalchemy"}, name


def test_inside_a_feature_schemas_import_neither_models_nor_store_and_stores_no_views() -> None:
    allowed = {
        "fields": set(),
        "schemas": {"schemas", "fields"},
        "models": {"models"},
        "search": {"models"},
        "changed_days": {"models"},
        "trace_costs": {"models"},
        "score_columns": {"models", "changed_days"},
        "scores": {"models", "score_columns"},
        "arriving_scores": {"models", "changed_days", "score_columns", "scores"},
        "filters": {"models", "score_columns"},
        "orders": {"models"},
        "day_aggregates": {"models", "log_rows"},
        "store": {
            "models",
            "search",
            "day_aggregates",
            "log_rows",
            "changed_days",
            "trace_costs",
            "scores",
            "arriving_scores",
            "filters",
            "orders",
            "audit",
            "member_store",
            "label_store",
            "version_store",
        },
    }
    for name, tree in modules():
        feature, _, part = name.rpartition(".")
        if part in allowed and room(name) not in ("database", "http"):
            own = {
                found.removeprefix(f"{feature}.").split(".")[0]
                for found in ours(tree)
                if found.startswith(feature) and found.rpartition(".")[0] not in pure_modules()
            }
            assert own <= allowed[part], name


def test_only_some_modules_access_the_request_and_only_stores_query() -> None:
    for name, tree in modules():
        last = name.rpartition(".")[2]
        names = set(imports(tree))
        if room(name) not in ("http", "pages") and last.partition("_")[0] not in SEES_REQUESTS:
            assert not names & {"flask.request", "flask.g"}, name
        if "promptcrafter.database.session.session" in names:
            assert last in QUERIES, name


def test_what_stores_name_find_returns_a_select() -> None:
    for name, tree in modules():
        if name.rpartition(".")[2].split("_")[-1] == "store":
            functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
            others = {
                node.name
                for node in functions
                if node.name.startswith("find_") and not ast.unparse(node.returns or node).startswith("Select[")
            }
            assert others == set(), name


def test_each_infrastructure_library_is_imported_by_its_module_only() -> None:
    doors = {
        "flask_smorest": ["http.blueprint", "http.openapi"],
        "flask_sqlalchemy": ["database.session"],
        "flask_migrate": ["database.revisions"],
        "argon2": ["auth.passwords"],
        "limits": ["auth.throttle"],
        "flask_jwt_extended": ["auth.credentials"],
        "prometheus_client": ["server.metrics"],
    }
    for library, door in doors.items():
        users = [name for name, tree in modules() if any(found.split(".")[0] == library for found in imports(tree))]
        assert users == door, library


def test_only_the_server_room_imports_gunicorn() -> None:
    users = [name for name, tree in modules() if any(found.split(".")[0] == "gunicorn" for found in imports(tree))]
    assert {room(name) for name in users} == {"server"}


def test_no_module_commits_but_those_that_own_the_transaction() -> None:
    def attributes(tree: ast.Module) -> set[str]:
        return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}

    committing = [name for name, tree in modules() if attributes(tree) & {"commit", "begin"}]
    assert committing == ["database.session", "database.transactions"]
