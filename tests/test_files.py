"""Which files are synced to the disk, and in which order: a power cut must leave all of a file or none."""

import errno
import os
from pathlib import Path

import pytest
from flask import Flask

from promptcrafter.database import sqlite
from promptcrafter.files import fsync_folder
from tests.support.commands import done, run
from tests.support.people import Person

SYNCED = "synced"


@pytest.fixture
def engine_name() -> str:
    """The database whose files these are."""
    return "sqlite"


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The files that are synced, and the names that are given, in their order."""
    seen: list[tuple[str, str]] = []
    originals = {name: getattr(os, name) for name in ("fsync", "link", "replace")}

    def watch_fsync(file: int) -> None:
        seen.append((SYNCED, Path(os.readlink(f"/proc/self/fd/{file}")).name))
        originals["fsync"](file)

    def watch(name: str) -> None:
        def call(source: Path, target: Path, **options: int) -> None:
            seen.append((Path(source).name, Path(target).name))
            originals[name](source, target, **options)

        monkeypatch.setattr(os, name, call)

    monkeypatch.setattr(os, "fsync", watch_fsync)
    watch("link")
    watch("replace")
    return seen


def assert_durable(steps: list[tuple[str, str]], file: str, folder: str) -> None:
    """Assert that the draft was synced, then got the name of the file, and that the folder was synced after that."""
    (draft,) = [source for source, target in steps if target == file and source != SYNCED]
    order = [steps.index(step) for step in ((SYNCED, draft), (draft, file))]
    assert order == sorted(order)
    assert (SYNCED, folder) in steps[order[-1] :]


def test_a_new_database_is_on_the_disk_before_it_is_used(tmp_path: Path, steps: list[tuple[str, str]]) -> None:
    sqlite.ensure_file(tmp_path / "data" / "new.db")
    assert_durable(steps, "new.db", "data")
    assert steps[0] == (SYNCED, tmp_path.name), "the new folder's own name"


def test_an_export_is_on_the_disk_when_it_is_reported(
    app: Flask, ada: Person, tmp_path: Path, steps: list[tuple[str, str]]
) -> None:
    done(run(app, "export", str(tmp_path / "ada.ndjson"), "--user", ada.email))
    assert_durable(steps, "ada.ndjson", tmp_path.name)


def test_a_backup_is_on_the_disk_when_it_is_reported(
    app: Flask, ada: Person, tmp_path: Path, steps: list[tuple[str, str]]
) -> None:
    done(run(app, "backup", str(tmp_path / "copy.db")))
    assert steps.index((SYNCED, "copy.db.partial")) < steps.index((SYNCED, tmp_path.name))


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EACCES])
def test_a_folder_that_cannot_be_synced_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def fail(file: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    fsync_folder(tmp_path)


def test_a_disk_that_fails_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(file: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        fsync_folder(tmp_path)
