"""ARCHITECTURE.md and CONTRIBUTING.md name existing files, modules and functions only, and list the rooms in order."""

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

from tests.contracts.test_layers import ROOMS
from tests.support.environment import ROOT

PACKAGE = ROOT / "promptcrafter"
MODULES = sorted({path.name.removesuffix(".py") for path in PACKAGE.iterdir()} - {"__init__", "__pycache__"})
PAGES = [path for path in (ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md") if path.exists()]
PATH = re.compile(r"(?<![\w./<-])[\w.-]+(?:/[\w.-]+)*(?:\.(?:py|md|toml|json|html)|/)(?![\w/<])")
NAME = re.compile(rf"(?<![\w./<-])(?:{'|'.join(MODULES)})(?:\.\w+)+(?![\w/])")


def code(page: Path) -> list[str]:
    """Return the code spans of a page and its drawings, which are code blocks without a language.

    A line such as `path`: is the caption of an example, whose file does not exist.
    """
    text = page.read_text(encoding="utf-8")
    blocks = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^`[^`]+`:$", "", blocks.sub("", text), flags=re.MULTILINE)
    drawings = [drawing for language, drawing in blocks.findall(text) if not language]
    return [*drawings, *re.findall(r"`([^`\n]+)`", prose)]


def is_path(name: str) -> bool:
    """Return whether the repository or the package has this path; for a bare name, any room."""
    in_a_room = "/" not in name and any(PACKAGE.rglob(name))
    return in_a_room or (ROOT / name).exists() or (PACKAGE / name).exists()


def is_defined(name: str) -> bool:
    """Return whether a dotted name below `promptcrafter` is a module, or an attribute of one."""
    found: object = import_module("promptcrafter")
    for part in name.split("."):
        if isinstance(found, ModuleType) and hasattr(found, "__path__") and find_spec(f"{found.__name__}.{part}"):
            found = import_module(f"{found.__name__}.{part}")
        elif hasattr(found, part):
            found = getattr(found, part)
        else:
            return False
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_and_name_on_the_maps_exists(page: Path) -> None:
    texts = code(page)
    paths = [path for text in texts for path in PATH.findall(text)]
    names = [name for text in texts for name in NAME.findall(text) if name not in paths]
    assert len(paths) > 20
    assert len(names) > 10
    assert [path for path in paths if not is_path(path)] == []
    assert [name for name in names if not is_defined(name)] == []


def test_the_table_of_rooms_has_every_room_in_the_order_of_the_layers() -> None:
    table = re.findall(r"^\| (?:`(\w+)/`|\(ground\)) \|", PAGES[0].read_text(encoding="utf-8"), re.MULTILINE)
    assert table == ROOMS
