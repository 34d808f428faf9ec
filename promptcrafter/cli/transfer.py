"""The commands `import` and `export`: from a file into a workspace, and from a workspace to a file."""

import errno
import os
import secrets
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import click

from promptcrafter import clock, jsonio
from promptcrafter.auth.store import get_by_email
from promptcrafter.cli.commands import Command, Refusal, count, say, with_progress
from promptcrafter.cli.workspaces import list_principals, workspace_option
from promptcrafter.database.session import read_snapshot
from promptcrafter.files import fsync_folder
from promptcrafter.maintenance import purge
from promptcrafter.permissions import Permission
from promptcrafter.transfer import export_format, importer, store
from promptcrafter.transfer.id_policy import KEPT_IDS, IdPolicy, ImportConflict, NewIds
from promptcrafter.transfer.importers import Unreadable, enumerate_counts, json_server, llm, promptfoo
from promptcrafter.transfer.importers.foreign_ids import ForeignIds
from promptcrafter.transfer.importers.stored_versions import FindVersions, find_none
from promptcrafter.transfer.records import FORM, FORMS, Record, plural
from promptcrafter.workspaces import member_store
from promptcrafter.workspaces import store as workspaces
from promptcrafter.workspaces.principal import Principal, at_home

_FORMATS = _AUTO, _EXPORT, _JSON_SERVER, _LLM, _PROMPTFOO = "auto", "promptcrafter", "json-server", "llm", "promptfoo"
_SQLITE_HEADER = b"SQLite format 3\x00"  # the first bytes of every SQLite file
_FIRST_LINE_MAX = 1024  # bytes; the first line of an export has about fifty


@click.command("import", cls=Command)
@click.argument("path", metavar="FILE", type=click.Path(dir_okay=False, allow_dash=True))
@click.option(
    "--user", "email", metavar="EMAIL", required=True, help="The account whose personal workspace it goes to."
)
@click.option("--workspace", metavar="WORKSPACE", help="Into this one, of which the account is an editor or owner.")
@click.option(
    "--format", "file_format", type=click.Choice(_FORMATS), default=_AUTO, help="By default detected from the content."
)
@click.option("--only-owner", metavar="ID", help="Of a json-server file: what was this user's only.")
@click.option("--new-ids", is_flag=True, help="Import a copy of everything, with ids of its own.")
@click.option("--skip-unknown", is_flag=True, help="Of a file of llm: leave out what this release does not know.")
def import_file(
    path: str,
    email: str,
    workspace: str | None,
    file_format: str,
    only_owner: str | None,
    new_ids: bool,
    skip_unknown: bool,
) -> None:
    """Import FILE, or what comes in for -, into the personal workspace of an account or into another one.

    It may be an export of PromptCrafter, a file of json-server with prompts and logs, the logs.db of llm or a
    results.json of promptfoo. What is there already stays as it is; if anything is wrong with the file, nothing of it
    is stored.
    """
    user = get_by_email(email)
    principal, account, target = at_home(user.id), user.email_key, user.email
    if workspace is not None:
        found = workspaces.get_any_workspace(workspace)
        principal = member_store.act_as_member(found, user, Permission.WRITE)
        target = f"{user.email} into {found.slug}"
        if found.personal_user_id is None:
            account = found.id  # so that a file has the same ids there, whichever member imports it
    left_out: Counter[str] = Counter()
    with _refusing_unreadable(), _open_source(path) as file, _open_id_policy(principal, new_ids) as ids:
        file_format = _detect_format(file) if file_format == _AUTO else file_format
        for option, value, its_format in (
            ("--only-owner", only_owner, _JSON_SERVER),
            ("--skip-unknown", skip_unknown, _LLM),
        ):
            if value and file_format != its_format:
                raise Unreadable(f"{option} is for files of {its_format}.")
        source = _read_records(
            file,
            file_format,
            principal,
            account,
            left_out,
            find_none if new_ids else importer.find_first_versions,
            only_owner=only_owner,
            skip_unknown=skip_unknown,
        )
        purge.run()  # the file may have ids of what was deleted
        with importer.check(principal, with_progress(source, "Checking"), ids) as checked:
            counts = importer.store_checked(principal, with_progress(checked, "Storing"), ids)
    created, skipped = (
        _describe_counts({name: numbers[outcome] for name, numbers in counts.items()})
        for outcome in ("created", "skipped")
    )
    if left_out:
        say(f"Not imported: {enumerate_counts(left_out)}.")
    say(f"Imported for {target}: {created}. There already: {skipped}.")


@click.command("export", cls=Command)
@click.argument("path", metavar="FILE", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--user", "email", metavar="EMAIL", help="The account whose personal workspace to export.")
@workspace_option
@click.option("--force", is_flag=True, help="Replace FILE if there is one.")
@click.option(
    "--form",
    type=click.Choice([str(form) for form in FORMS]),
    default=str(FORM),
    help="The version of the file format: 1 for release 0.1.0, without what it cannot read.",
)
def export_file(path: str, email: str | None, workspace: str | None, force: bool, form: str) -> None:
    """Export everything in a workspace, given by --user or --workspace, to FILE, or for - to standard output."""
    if email is None and workspace is None:
        raise Refusal("Name what to export: --user EMAIL or --workspace WORKSPACE.")
    (principal,) = list_principals(email, workspace)
    counts: Counter[str] = Counter()
    store.note_export(principal)
    with read_snapshot() as reader, _open_target(path, force) as file:
        found = store.each_row(reader, principal, int(form))
        rows = with_progress(_count_rows(found, counts), "Exporting")
        for line in export_format.write_lines(rows, int(form)):
            file.write(line.encode())
    source = f"for {get_by_email(email).email}" if email is not None else f"from {workspace}"
    say(f"Exported {source}: {_describe_counts(counts)}.")


COMMANDS = (import_file, export_file)


@contextmanager
def _refusing_unreadable() -> Iterator[None]:
    """Turn Unreadable and ImportConflict into Refusal, which ends a command with its text."""
    try:
        yield
    except Unreadable as error:
        raise Refusal(str(error)) from error
    except ImportConflict as error:
        raise Refusal(f"{error.without_advice} --new-ids imports a copy of everything.") from error


def _open_id_policy(principal: Principal, new_ids: bool) -> AbstractContextManager[IdPolicy]:
    return NewIds(principal) if new_ids else nullcontext(KEPT_IDS)


@contextmanager
def _open_source(path: str) -> Iterator[BinaryIO]:
    """Open a file for reading. Standard input is first copied to a temporary file, which has a name and can seek."""
    if path != "-":
        with open(path, "rb") as file:
            yield file
        return
    with tempfile.NamedTemporaryFile() as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.seek(0)  # this also flushes the buffer, for readers that open the file by its name
        yield file  # type: ignore[misc]


@contextmanager
def _open_target(path: str, force: bool) -> Iterator[BinaryIO]:
    """Open standard output, or a file under a temporary name, which gets its own name when it is complete.

    Only its owner may read the file. Raises FileExistsError unless `force` is set.
    """
    if path == "-":
        yield sys.stdout.buffer
        return
    target = Path(path)
    if not force:
        _refuse_existing(target)
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if not force:
            _refuse_existing(target)
        os.replace(draft, target)
        fsync_folder(target.absolute().parent)
    finally:
        draft.unlink(missing_ok=True)


def _refuse_existing(target: Path) -> None:
    if target.exists():
        raise FileExistsError(errno.EEXIST, "It is there already; --force replaces it", str(target))


def _detect_format(file: BinaryIO) -> str:
    """Return the format of a file by its content. Raises Unreadable if it has none of them."""
    if file.read(len(_SQLITE_HEADER)) == _SQLITE_HEADER:
        return _LLM
    file.seek(0)
    if _has_any_key(_parse_line(file.readline(_FIRST_LINE_MAX)), "type"):
        return _EXPORT
    document = _parse_document(file)
    if _has_any_key(document, "results"):
        return _PROMPTFOO
    if _has_any_key(document, "prompts", "logs"):
        return _JSON_SERVER
    raise Unreadable("It is none of the files that can be imported.")


def _read_records(
    file: BinaryIO,
    file_format: str,
    principal: Principal,
    account: str,
    left_out: Counter[str],
    find_versions: FindVersions,
    *,
    only_owner: str | None,
    skip_unknown: bool,
) -> Iterator[Record]:
    """Return the records of a file. What is not imported is counted by name in `left_out`, while they are read.

    Ids of other tools become ids that depend on `account`, too: an address, or the id of a shared workspace.
    Raises Unreadable, here or from the iterator.
    """
    now = clock.to_text(clock.now())
    if file_format == _LLM:
        return llm.read(Path(file.name), account, now, left_out, skip_unknown)
    if file_format == _PROMPTFOO:
        return promptfoo.read(_parse_document(file), account, now, find_versions)
    if file_format == _JSON_SERVER:
        ids = ForeignIds(json_server.SOURCE, account, partial(importer.find_existing, principal))
        return json_server.read(_parse_document(file), now, only_owner, ids, left_out, find_versions)
    file.seek(0)
    return export_format.read_records(file)


def _parse_document(file: BinaryIO) -> Any:
    """Return the value of a file that is one JSON text. Raises Unreadable."""
    file.seek(0)
    try:
        return jsonio.loads(file.read(), max_containers=sys.maxsize)
    except jsonio.JsonError as error:
        if error.code == "invalid_utf8":
            raise Unreadable(str(error).replace("The body", "It", 1)) from error
        raise Unreadable(f"It is not JSON as a whole. {error}") from error


def _parse_line(line: bytes) -> Any:
    """Return the value of a line of JSON, None if it is not JSON."""
    try:
        return jsonio.loads(line)
    except jsonio.JsonError:
        return None


def _has_any_key(document: Any, *names: str) -> bool:
    return isinstance(document, dict) and any(name in document for name in names)


def _count_rows(rows: Iterable[tuple[str, Any]], counts: Counter[str]) -> Iterator[tuple[str, Any]]:
    """Yield the rows, and count them by type in `counts`."""
    for kind, row in rows:
        counts[plural(kind)] += 1
        yield kind, row


def _describe_counts(counts: Mapping[str, int]) -> str:
    """Return counts as text: `1 prompt, 2,000 logs`, or `nothing`."""
    parts = [count(number, name.removesuffix("s")) for name, number in counts.items() if number]
    return ", ".join(parts) or "nothing"
