"""`import` and `export`: an account's things from a file and into one."""

import errno
import os
import secrets
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import click

from promptcrafter import clock, jsonio
from promptcrafter.auth.models import User
from promptcrafter.auth.store import get_by_email
from promptcrafter.cli.commands import Command, Refusal, say
from promptcrafter.database.session import read_snapshot
from promptcrafter.transfer import export_format, importer, store
from promptcrafter.transfer.importers import Unreadable, json_server, llm, promptfoo
from promptcrafter.transfer.records import Record, plural

_FORMS = _AUTO, _OURS, _JSON_SERVER, _LLM, _PROMPTFOO = "auto", "promptcrafter", "json-server", "llm", "promptfoo"
_SQLITE = b"SQLite format 3\x00"  # what every file of it begins with
_FIRST_LINE_MAX = 1024  # bytes; the first line of an export has some fifty
_T = TypeVar("_T")


@click.command("import", cls=Command)
@click.argument("path", metavar="FILE", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--user", "email", metavar="EMAIL", required=True, help="The account that it goes to.")
@click.option("--format", "form", type=click.Choice(_FORMS), default=_AUTO, help="By default told by the content.")
@click.option("--only-owner", metavar="ID", help="Of a json-server file: what was this user's only.")
def import_file(path: str, email: str, form: str, only_owner: str | None) -> None:
    """Import FILE, or what comes in for -, into an account.

    It may be an export of PromptCrafter, a file of json-server with prompts and logs, the logs.db of llm or a
    results.json of promptfoo. What is there already stays as it is; if anything is wrong with the file, nothing of it
    is stored.
    """
    user = get_by_email(email)
    with _refusing(), _opened(path) as file:
        form = _recognise(file) if form == _AUTO else form
        if only_owner and form != _JSON_SERVER:
            raise Unreadable("--only-owner is for files of json-server.")
        source = _read(file, form, user, only_owner)
        with importer.check(user.id, _watched(source, "Checking")) as checked:
            counts = importer.store_checked(user.id, _watched(checked, "Storing"))
    told = [_tell({name: count[fate] for name, count in counts.items()}) for fate in ("created", "skipped")]
    say(f"Imported for {user.email}: {told[0]}. There already: {told[1]}.")


@click.command("export", cls=Command)
@click.argument("path", metavar="FILE", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--user", "email", metavar="EMAIL", required=True, help="The account whose things to export.")
@click.option("--force", is_flag=True, help="Replace FILE if there is one.")
def export_file(path: str, email: str, force: bool) -> None:
    """Export everything that an account owns to FILE, or for - to standard output."""
    counts: Counter[str] = Counter()
    user = get_by_email(email)
    with read_snapshot() as reader, _target(path, force) as file:
        rows = _watched(_counted(store.each_row(reader, user.id), counts), "Exporting")
        for line in export_format.write_lines(rows):
            file.write(line.encode())
    say(f"Exported for {user.email}: {_tell(counts)}.")


COMMANDS = (import_file, export_file)


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except Unreadable as error:
        raise Refusal(str(error)) from error


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    """Open a file to read, from anywhere in it; standard input becomes one first."""
    if path != "-":
        with open(path, "rb") as file:
            yield file
        return
    with tempfile.NamedTemporaryFile() as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.seek(0)  # which writes out what is buffered, too
        yield file  # type: ignore[misc]


@contextmanager
def _target(path: str, force: bool) -> Iterator[BinaryIO]:
    """Open a file to write: aside and its owner's alone, until it is whole and takes its place."""
    if path == "-":
        yield sys.stdout.buffer
        return
    place = Path(path)
    if not force:
        _refuse_existing(place)
    draft = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if not force:
            _refuse_existing(place)
        os.replace(draft, place)
    finally:
        draft.unlink(missing_ok=True)


def _refuse_existing(place: Path) -> None:
    if place.exists():
        raise FileExistsError(errno.EEXIST, "It is there already; --force replaces it", str(place))


def _recognise(file: BinaryIO) -> str:
    """Tell by its content what a file is. Raises Unreadable."""
    if file.read(len(_SQLITE)) == _SQLITE:
        return _LLM
    file.seek(0)
    if _has(_parse(file.readline(_FIRST_LINE_MAX)), "type"):
        return _OURS
    document = _parse_whole(file)
    if _has(document, "results"):
        return _PROMPTFOO
    if _has(document, "prompts", "logs"):
        return _JSON_SERVER
    raise Unreadable("It is none of the files that can be imported.")


def _read(file: BinaryIO, form: str, user: User, only_owner: str | None) -> Iterator[Record]:
    """Return the lines of a file. Raises Unreadable, now or when they are read."""
    now = clock.to_text(clock.now())
    if form == _LLM:
        return llm.read(Path(file.name), user.email_key, now)
    if form == _PROMPTFOO:
        return promptfoo.read(_parse_whole(file), user.email_key, now)
    if form == _JSON_SERVER:
        document = _parse_whole(file)
        if others := json_server.describe_skipped(document):
            say(f"Not imported: {others}.")
        return json_server.read(document, now, only_owner)
    file.seek(0)
    return export_format.read_records(file)


def _parse_whole(file: BinaryIO) -> Any:
    file.seek(0)
    try:
        return jsonio.loads(file.read())
    except jsonio.JsonError as error:
        raise Unreadable(f"It is not JSON as a whole. {error}") from error


def _parse(line: bytes) -> Any:
    try:
        return jsonio.loads(line)
    except jsonio.JsonError:
        return None


def _has(document: Any, *names: str) -> bool:
    return isinstance(document, dict) and any(name in document for name in names)


def _counted(rows: Iterable[tuple[str, Any]], counts: Counter[str]) -> Iterator[tuple[str, Any]]:
    for kind, row in rows:
        counts[plural(kind)] += 1
        yield kind, row


def _watched(things: Iterable[_T], label: str) -> Iterator[_T]:
    """Yield the things, and show a person who watches how far it is."""
    if not sys.stderr.isatty():
        yield from things
        return
    with click.progressbar(things, label=label, file=sys.stderr) as bar:
        yield from bar


def _tell(counts: Mapping[str, int]) -> str:
    told = [f"{count} {name if count != 1 else name[:-1]}" for name, count in counts.items() if count]
    return ", ".join(told) or "nothing"
