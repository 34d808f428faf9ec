"""Test files are named after modules: `tests/logs/test_store.py` tests `promptcrafter/logs/store.py`."""

from collections.abc import Iterator
from pathlib import Path

from tests.support.environment import ROOT

TESTS = ROOT / "tests"
# Tests of several modules together, and code that tests share
OTHER_FOLDERS = {"contracts", "integration", "e2e", "migrations", "support", "__pycache__"}


def folders_of_units() -> Iterator[tuple[Path, list[Path]]]:
    """Yield each folder of tests of single modules, with the folders of those modules."""
    yield TESTS, [ROOT, ROOT / "promptcrafter"]
    yield TESTS / "bench", [ROOT / "bench"]
    for top in sorted(TESTS.iterdir()):
        if top.is_dir() and top.name not in OTHER_FOLDERS | {"bench"}:
            for folder in (top, *sorted(path.parent for path in top.rglob("*/__init__.py"))):
                yield folder, [ROOT / "promptcrafter" / folder.relative_to(TESTS)]


def test_each_test_file_is_named_after_a_module_or_a_part_of_one() -> None:
    strays, seen = [], 0
    for folder, sources in folders_of_units():
        names = {path.stem for source in sources for path in source.iterdir() if path.suffix == ".py" or path.is_dir()}
        for path in sorted(folder.glob("test_*.py")):
            subject = path.stem.removeprefix("test_")
            seen += 1
            if not any(subject == name or subject.startswith(f"{name}_") for name in names):
                strays.append(str(path.relative_to(ROOT)))
    assert strays == []
    assert seen > 30, "the walk has seen the tests"
