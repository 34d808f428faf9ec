"""docs/private-apis.md lists every use of undocumented parts of libraries, with the pinned versions."""

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.support.databases import only_sqlite
from tests.support.environment import ROOT

PAGE = (ROOT / "docs" / "private-apis.md").read_text(encoding="utf-8")
SOURCES = [*sorted((ROOT / "promptcrafter").rglob("*.py")), ROOT / "config.py", ROOT / "gunicorn.conf.py"]
DOCUMENTED = {"_asdict", "_replace"}  # of named tuples


def private_uses() -> Iterator[tuple[Path, str]]:
    """Yield each underscore name that is read from an object of another class than the one that reads it."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}
    own = set(chain.from_iterable(map(defined_names, trees.values())))
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and re.match("_[a-z]", node.attr) and node.attr not in DOCUMENTED:
                is_ours = ast.unparse(node.value) in ("self", "cls") and node.attr in own
                if not is_ours and ast.unparse(node.value) != "super()":
                    yield path, node.attr


def defined_names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.attr if isinstance(node, ast.Attribute) else node.id


def replaced_methods() -> Iterator[tuple[Path, str]]:
    """Yield the methods of libraries' objects that are replaced by assignment, except `wsgi_app`, which may be."""
    for path in SOURCES:
        for name in re.findall(r"\.(\w+) = .*# type: ignore\[.*method-assign", path.read_text(encoding="utf-8")):
            if name != "wsgi_app":
                yield path, name


def test_every_private_name_that_the_code_uses_is_listed_with_its_module() -> None:
    used = {*private_uses(), *replaced_methods()}
    assert {name for _, name in used} >= {"_serialize", "_prepare_doc_cbks", "do_begin", "ensure_sync"}
    for path, name in used:
        module = str(path.relative_to(ROOT))
        assert f"`{module}`" in PAGE, f"{module} uses {name}"
        assert re.search(rf"`([\w.]+\.)?{name}`", PAGE), f"{module} uses {name}"


def test_every_listed_version_is_pinned_and_every_listed_module_and_test_exists() -> None:
    pins = set((ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines())
    versions = re.findall(r"`([\w-]+==[\w.]+)`", PAGE)
    assert versions
    assert set(versions) <= pins
    for name in re.findall(r"`((?:promptcrafter|tests|migrations)/[\w/.]+)`", PAGE):
        assert (ROOT / name).exists(), name
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    for name in re.findall(r"`(test_\w+)`", PAGE):
        assert f"def {name}(" in tests, name


@only_sqlite
def test_no_view_and_no_hook_is_a_coroutine(app: Flask) -> None:
    hooks: list[dict[Any, list[Any]]] = [app.before_request_funcs, app.after_request_funcs, app.teardown_request_funcs]
    functions: list[object] = [*app.view_functions.values()]
    functions += [function for by_blueprint in hooks for group in by_blueprint.values() for function in group]
    functions += [
        handler
        for by_code in app.error_handler_spec.values()
        for by_class in by_code.values()
        for handler in by_class.values()
    ]
    assert len(functions) > 50
    assert not [function for function in functions if inspect.iscoroutinefunction(function)]


@pytest.mark.slow
def test_gunicorn_builds_no_access_line(tmp_path: Path) -> None:
    code = """
import runpy
from gunicorn.config import Config
settings = runpy.run_path("gunicorn.conf.py")
config = Config()
config.set("logconfig_dict", settings["logconfig_dict"])
logger = settings["logger_class"](config)
logger.atoms = None  # an access line is built of them
logger.access(None, None, {}, None)
print("nothing was built")
"""
    environment = {"INSTANCE_PATH": str(tmp_path)}
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ended.stdout == "nothing was built\n", ended.stderr
