"""The recipes of CONTRIBUTING.md: their examples work, and pass the checks that the product's code passes."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from flask import Flask

import config as settings
from config import Config, ConfigError
from promptcrafter.http import blueprint
from promptcrafter.http.route import refuse_undeclared
from promptcrafter.version import VERSION
from tests.contracts.test_layers import ROOMS, imports, ours, room
from tests.support.commands import done, run
from tests.support.databases import only_sqlite
from tests.support.environment import ROOT, bin_path
from tests.support.people import Caller, Person

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
MODULES = {"A dialect": "dialects.notebook", "A command": "cli.domains", "A page": "pages.about"}
Load = Callable[[str], ModuleType]


def example(recipe: str, language: str = "python") -> str:
    """Return the example of a recipe in that language."""
    section = PAGE.split(f"\n### {recipe}\n")[1].split("\n### ")[0]
    (block,) = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", section, re.MULTILINE | re.DOTALL)
    indentation, code = block
    return re.sub(f"^{indentation}", "", code, flags=re.MULTILINE)


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """A function that imports the example of a recipe under the name that the recipe gives it."""

    def load_example(recipe: str) -> ModuleType:
        name = f"promptcrafter.{MODULES[recipe]}"
        path = tmp_path / f"{name.rpartition('.')[2]}.py"
        path.write_text(example(recipe), encoding="utf-8")
        spec = spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load_example


@pytest.mark.parametrize("recipe", MODULES)
def test_an_example_has_the_style_of_the_product_and_imports_downward_only(recipe: str) -> None:
    name, code = MODULES[recipe], example(recipe)
    path = f"promptcrafter/{name.replace('.', '/')}.py"
    assert f"`{path}`" in PAGE
    assert not (ROOT / path).exists(), "the example needs another name"
    for arguments in (["format", "--check"], ["check"]):
        command = [bin_path("ruff"), *arguments, "--stdin-filename", path, "-"]
        checked = subprocess.run(command, cwd=ROOT, input=code, capture_output=True, text=True)
        assert checked.returncode == 0, checked.stdout + checked.stderr
    used = {room(found) for found in ours(ast.parse(code))}
    assert used <= set(ROOMS[: ROOMS.index(room(name)) + 1])


def test_the_dialect_of_the_example_records_logs(
    load: Load, make_app: Callable[[Config], Flask], config: Config, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialect = load("A dialect")
    init_app = blueprint.init_app
    monkeypatch.setattr(
        blueprint, "init_app", lambda app, config, blueprints: init_app(app, config, [*blueprints, dialect.blueprint])
    )
    client = Caller(make_app(config).test_client(), ada.headers)
    prompt = ada.prompt(slug="greeting")
    body = {"promptSlug": "greeting", "output": "Hello!", "model": "gpt-4o"}

    logged = client.post("/notebook/cells", body)
    assert logged.status_code == 200, logged.text
    (log,) = client.get("/logs").json
    assert log["_id"] == logged.json["logId"]
    assert (log["promptId"], log["promptVersion"], log["output"]) == (prompt["_id"], 1, "Hello!")
    assert log["source"] == dialect.SOURCE
    assert log["outputTokens"] > 0

    again = {"headers": {"Idempotency-Key": "once"}}
    assert client.post("/notebook/cells", body, **again).json == client.post("/notebook/cells", body, **again).json
    assert len(client.get("/logs").json) == 2
    assert client.post("/notebook/cells", {**body, "promptSlug": "farewell"}).status_code == 404
    assert client.post("/notebook/cells", {**body, "output": None}).json["details"] == {"output": ["is required"]}
    assert client.post("/notebook/cells", {**body, "model": "m" * 201}).status_code == 400, "it could not be imported"
    assert Caller(client.client).post("/notebook/cells", body).status_code == 401
    assert "post" in client.get("/openapi.json").json["paths"]["/notebook/cells"]


def test_the_setting_of_the_example_is_read_and_is_described_by_its_row(tmp_path: Path) -> None:
    namespace: dict[str, Any] = {**vars(settings), "__name__": __name__}
    exec(f"class Extended(Config):\n    {example('A setting')}", namespace)
    extended = dataclass(frozen=True, kw_only=True)(namespace["Extended"])
    added = fields(extended)[-1]
    variable, default = added.metadata["env"], added.default
    environ = {"INSTANCE_PATH": str(tmp_path)}

    assert getattr(extended.from_env(environ), added.name) == default
    assert getattr(extended.from_env({**environ, variable: "7"}), added.name) == 7
    with pytest.raises(ConfigError, match=rf"^{variable} must be .* \(it is 'many'\)\.$"):
        extended.from_env({**environ, variable: "many"})
    assert example("A setting", "markdown") == f"| `{variable}` | `{default}` | {added.metadata['doc']} |\n"


def test_the_command_of_the_example_runs(
    load: Load, make_app: Callable[[Config], Flask], config: Config, ada: Person, ben: Person
) -> None:
    app = make_app(config)
    for command in load("A command").COMMANDS:
        app.cli.add_command(command)
    assert done(run(app, "domains")) == "DOMAIN       ACCOUNTS\nexample.com  2\n"


@only_sqlite
def test_the_page_of_the_example_is_shown(
    load: Load, tmp_path: Path, make_app: Callable[[Config], Flask], config: Config
) -> None:
    template = tmp_path / "templates" / "about.html"
    template.parent.mkdir()
    template.write_text(example("A page", "html"), encoding="utf-8")
    app = make_app(config)
    app.register_blueprint(load("A page").blueprint)
    refuse_undeclared(app)
    shown = Caller(app.test_client()).get("/app/about")
    assert (shown.status_code, shown.mimetype) == (200, "text/html")
    assert f"<h1>PromptCrafter {VERSION}</h1>" in shown.text
    assert "default-src 'none'" in shown.headers["Content-Security-Policy"]


def test_every_target_of_make_that_is_named_exists() -> None:
    targets = re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    named = set(re.findall(r"`make ([\w-]+)`", PAGE))
    assert named
    assert named <= set(targets)


def test_no_migration_imports_from_the_package() -> None:
    scripts = [*(ROOT / "migrations/versions").glob("*.py"), *(ROOT / "migrations/frozen").glob("*.py")]
    assert scripts
    for path in scripts:
        found = {name.partition(".")[0] for name in imports(ast.parse(path.read_text(encoding="utf-8")))}
        assert "promptcrafter" not in found, path
