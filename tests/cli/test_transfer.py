"""`flask import` and `flask export`."""

import gzip
import io
import json
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask

from config import Config
from promptcrafter.database import sqlite
from promptcrafter.database.session import get_engine
from tests.support import llm_database
from tests.support.commands import done
from tests.support.commands import run as run_command
from tests.support.databases import only_sqlite
from tests.support.environment import SECRET
from tests.support.many_logs import add_logs
from tests.support.people import Person
from tests.support.transfer import EMPTY_EXPORT, as_imported, counts, export, import_file, join, remove_all
from tests.transfer.test_importer_damage import GOOD, change
from tests.transfer.test_importers import FIXTURES, NEWER, RESPONSE

Run = Callable[..., Result]


@pytest.fixture
def run(app: Flask) -> Run:
    """Runs a command and returns what became of it."""

    def invoke(*arguments: Any, data: bytes = b"") -> Result:
        return app.test_cli_runner().invoke(args=[str(argument) for argument in arguments], input=io.BytesIO(data))

    return invoke


def failure(result: Result) -> str:
    """Return the one line of error of a command that failed."""
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    (line,) = result.stderr.splitlines()
    return line


def test_an_exported_account_can_be_imported(run: Run, full_account: Person, tmp_path: Path) -> None:
    path = tmp_path / "ada.ndjson"
    result = run("export", path, "--user", "ADA@example.com")
    assert (result.exit_code, result.stdout) == (0, "")
    counted = "3 prompts, 7 versions, 2 experiments, 3 traces, 37 logs, 5 scores"
    assert result.stderr == f"Exported for ada@example.com: {counted}.\n"
    left = export(full_account)
    assert path.read_bytes() == left
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first = run("export", "-", "--user", "ada@example.com", "--form", "1")
    assert first.stdout_bytes == full_account.get("/export?form=1").data != left
    assert first.stderr == f"Exported for ada@example.com: {counted.removesuffix(', 5 scores')}.\n"
    remove_all(full_account)
    result = run("import", path, "--user", "ada@example.com")
    assert result.stderr == f"Imported for ada@example.com: {counted}. There already: nothing.\n"
    assert (result.exit_code, result.stdout) == (0, "")
    assert export(full_account) == as_imported(left)
    again = run("import", path, "--user", "ada@example.com")
    assert again.stderr == f"Imported for ada@example.com: nothing. There already: {counted}.\n"


@only_sqlite
def test_large_numbers_are_written_as_other_commands_write_them(
    app: Flask, run: Run, ada: Person, ben: Person, tmp_path: Path
) -> None:
    path, prompt = tmp_path / "ada.ndjson", ada.prompt()
    with app.app_context():
        add_logs(get_engine(), ada.id, 1_000, prompt_id=prompt["_id"])
    counted = "1 prompt, 1 version, 1,000 logs"
    assert run("export", path, "--user", ada.email).stderr == f"Exported for {ada.email}: {counted}.\n"
    imported = run("import", path, "--user", ben.email, "--new-ids").stderr
    assert imported == f"Imported for {ben.email}: {counted}. There already: nothing.\n"


def test_a_hyphen_means_standard_input_or_output(run: Run, ada: Person) -> None:
    assert run("import", "-", "--user", ada.email, data=join(GOOD)).exit_code == 0
    result = run("export", "-", "--user", ada.email)
    assert result.stdout_bytes == export(ada)
    assert result.stderr.startswith(
        "Exported for ada@example.com: 1 prompt, 2 versions, 1 experiment, 1 trace, 2 logs, 1 score."
    )


@only_sqlite
def test_an_export_replaces_a_file_only_with_force(run: Run, ada: Person, tmp_path: Path) -> None:
    path = tmp_path / "there"
    path.write_text("precious")
    assert failure(run("export", path, "--user", ada.email)) == (
        f"Error: It is there already; --force replaces it: {path}"
    )
    assert path.read_text() == "precious"
    assert run("export", path, "--user", ada.email, "--force").exit_code == 0
    assert path.read_bytes() == EMPTY_EXPORT
    assert sorted(file.name for file in tmp_path.iterdir() if "there" in file.name) == ["there"]


@only_sqlite
def test_a_failed_export_leaves_no_file(run: Run, ada: Person, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    assert failure(run("export", folder / "x", "--user", "nobody@example.com")) == (
        "Error: No account has the address nobody@example.com."
    )
    assert "No such file or directory" in failure(run("export", folder / "none" / "x", "--user", ada.email))
    assert list(folder.iterdir()) == []


@only_sqlite
@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (change(6, score=11), [], "line 7.score must be a number from 0 to 10."),
        (join(GOOD)[:-1].rpartition(b"\n")[0], [], "the file ends without its end line."),
        (b"", [], "It is not JSON as a whole. Invalid JSON at line 1, column 1: Expecting value."),
        (b'{"a": 1}', [], "It is none of the files that can be imported."),
        (join(GOOD[1:]), [], "line 1.type must be export"),
        (b'{"a": 1}', ["--format", "promptcrafter"], "line 1.type must be one of"),
        (b"[1]", ["--format", "json-server"], "It has neither prompts nor logs."),
        (b'{"prompts": {}, "logs": []}', [], "prompts must be an array."),
        (b'{"prompts": [5]}', [], "prompts.0 must be an object."),
        (b"[]", ["--format", "promptfoo"], "It has no results, so it is not a file of promptfoo."),
        (b"{", ["--format", "llm"], "It has no table of responses, so it is not a database of llm."),
        (b'{"results": []}', ["--only-owner", "user1"], "--only-owner is for files of json-server."),
        (b"SQLite format 3\x00", [], "It cannot be read as a database of llm: "),
    ],
)
def test_a_file_that_cannot_be_imported_is_reported_in_one_line(
    run: Run, ada: Person, tmp_path: Path, data: bytes, options: list[str], message: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    assert message in failure(run("import", path, "--user", ada.email, *options))
    assert message in failure(run("import", "-", "--user", ada.email, *options, data=data))
    assert export(ada) == EMPTY_EXPORT


@only_sqlite
def test_a_missing_file_or_account_is_reported_in_one_line(
    run: Run, ada: Person, tmp_path: Path, make_app: Callable[[Config], Flask]
) -> None:
    path = tmp_path / "file"
    assert failure(run("import", path, "--user", ada.email)) == f"Error: No such file or directory: {path}"
    path.write_bytes(EMPTY_EXPORT)
    assert failure(run("import", path, "--user", "x@example.com")) == (
        "Error: No account has the address x@example.com."
    )
    sqlite.create(tmp_path / "new.db")
    unmigrated = make_app(Config(database_url=f"sqlite:///{tmp_path}/new.db", jwt_secret_key=SECRET))
    result = unmigrated.test_cli_runner().invoke(args=["import", str(path), "--user", "x@example.com"])
    assert failure(result) == "Error: The database is not migrated: run flask --app wsgi db upgrade."


@only_sqlite
def test_files_of_other_tools_are_detected_by_their_content(run: Run, ada: Person, tmp_path: Path) -> None:
    database = llm_database.make(tmp_path / "logs.db", llm_database.NEWEST, responses=[{**RESPONSE, **NEWER}])
    messages = {
        FIXTURES
        / "json_server.json": "Not imported: users (2).\nImported for ada@example.com: 3 prompts, 3 versions, 3 logs",
        FIXTURES / "promptfoo_v3.json": "Imported for ada@example.com: 2 prompts, 2 versions, 3 logs",
        FIXTURES / "promptfoo_v2.json": "Imported for ada@example.com: 1 prompt, 1 version, 2 logs",
        database: "Imported for ada@example.com: 1 log",
    }
    for path, start in messages.items():
        assert run("import", path, "--user", ada.email).stderr == f"{start}. There already: nothing.\n"
        assert "Imported for ada@example.com: nothing." in run("import", path, "--user", ada.email).stderr
    left = export(ada)
    assert counts(import_file(ada, left), "created") == (0, 0, 0, 0, 0)
    assert ada.get("/logs?source=llm").json[0]["output"] == RESPONSE["response"]
    alone = run("import", FIXTURES / "json_server.json", "--user", ada.email, "--only-owner", "user1")
    assert alone.stderr.endswith("There already: 1 prompt, 1 version, 1 log.\n")


@only_sqlite
def test_what_is_not_imported_is_counted_by_name(run: Run, ada: Person, tmp_path: Path) -> None:
    path = tmp_path / "db.json"
    prompt = {"title": "Title", "content": "c", "model": "m", "userId": 1, "description": 7}
    rest: dict[str, Any] = {f"list{number}": [1, 2] for number in range(30)} | {"a\x1b[2J" + "x" * 100: {}}
    path.write_text(json.dumps({"prompts": [{**prompt, "id": "5-Ti0M5"}, {**prompt, "id": "-DGSsrg"}], **rest}))
    result = run("import", path, "--user", ada.email)
    counted, imported = result.stderr.splitlines()
    assert imported == "Imported for ada@example.com: 2 prompts, 2 versions. There already: nothing."
    assert counted.startswith("Not imported: list0 (2), list1 (2), ")
    assert counted.endswith(" and 13 more.")
    assert len(counted) < 400
    path.write_text(json.dumps({"prompts": [{**prompt, "id": "5-Ti0M5"}], "a\x1b[2J" + "x" * 100: {}}))
    result = run("import", path, "--user", ada.email)
    assert result.stderr.splitlines() == [
        f"Not imported: a\ufffd[2J{'x' * 54}… (1), prompts.userId (1), prompts.description (1).",
        "Imported for ada@example.com: nothing. There already: 1 prompt, 1 version.",
    ]


def test_two_people_import_one_file_of_json_server(run: Run, ada: Person, ben: Person) -> None:
    path = FIXTURES / "json_server.json"
    for person in (ada, ben):
        for outcome in ("Imported for {}: 3 prompts, 3 versions, 3 logs.", "Imported for {}: nothing."):
            result = run("import", path, "--user", person.email)
            assert result.exit_code == 0
            assert outcome.format(person.email) in result.stderr
        assert len(person.get("/logs").json) == 3


def test_an_export_is_imported_as_a_copy_with_new_ids(run: Run, ada: Person, ben: Person, tmp_path: Path) -> None:
    path = tmp_path / "ada.ndjson"
    path.write_bytes(join(GOOD))
    assert run("import", path, "--user", ada.email).exit_code == 0
    assert failure(run("import", path, "--user", ben.email)).endswith(
        "exists elsewhere on this server. --new-ids imports a copy of everything."
    )
    created = "1 prompt, 2 versions, 1 experiment, 1 trace, 2 logs, 1 score"
    for _ in range(2):
        result = run("import", path, "--user", ben.email, "--new-ids")
        assert result.stderr == f"Imported for {ben.email}: {created}. There already: nothing.\n"
    assert sorted(prompt["slug"] for prompt in ben.get("/prompts").json) == ["one", "one-2"]
    assert run("import", FIXTURES / "promptfoo_v3.json", "--user", ben.email, "--new-ids").exit_code == 0
    assert run("import", FIXTURES / "json_server.json", "--user", ben.email, "--new-ids").exit_code == 0


@only_sqlite
def test_a_file_with_a_byte_order_mark_is_imported_and_one_in_utf_16_is_refused(
    run: Run, ada: Person, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    files = [(FIXTURES / name).read_text(encoding="utf-8") for name in ("json_server.json", "promptfoo_v3.json")]
    for text in (*files, join(GOOD).decode().replace("\n", "\r\n")):
        for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
            path.write_bytes(text.encode(encoding))
            message = failure(run("import", path, "--user", ada.email))
            assert message.startswith("Error: It is not UTF-8")
            assert message.endswith("It seems to be UTF-16 or UTF-32.")
        path.write_bytes(text.encode("utf-8-sig"))
        assert "Imported for ada@example.com: nothing" not in run("import", path, "--user", ada.email).stderr
    assert counts(import_file(ada, b"\xef\xbb\xbf" + join(GOOD)), "skipped") == (1, 2, 1, 1, 2)
    answer = import_file(ada, join(GOOD).decode().encode("utf-16"))
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_utf8")


@only_sqlite
def test_a_file_of_llm_0_36_is_imported_or_refused_aloud(run: Run, ada: Person, tmp_path: Path) -> None:
    path = tmp_path / "logs.db"
    data = gzip.decompress((FIXTURES / "llm_logs.db.gz").read_bytes())
    path.write_bytes(data)
    assert run("import", path, "--user", ada.email).stderr == (
        "Imported for ada@example.com: 13 logs. There already: nothing.\n"
    )
    assert run("import", "-", "--user", ada.email, data=data).stderr.endswith("There already: 13 logs.\n")
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript("CREATE TABLE events (id); INSERT INTO events VALUES (1)")
    assert failure(run("import", path, "--user", ada.email)) == (
        "Error: It has what this release does not know and would lose: the table events. "
        "--skip-unknown imports all the rest."
    )
    result = run("import", path, "--user", ada.email, "--skip-unknown")
    assert result.stderr.splitlines()[0] == "Not imported: the table events (1)."
    assert "--skip-unknown is for files of llm." in failure(
        run("import", FIXTURES / "json_server.json", "--user", ada.email, "--skip-unknown")
    )


@only_sqlite
def test_the_file_of_llm_is_not_changed(run: Run, ada: Person, tmp_path: Path) -> None:
    folder = tmp_path / "llm"
    folder.mkdir()
    path = llm_database.make(folder / "logs.db", llm_database.NEWEST, responses=[RESPONSE])
    path.chmod(0o400)
    before = path.read_bytes()
    assert run("import", path, "--user", ada.email).exit_code == 0
    assert path.read_bytes() == before
    assert [file.name for file in folder.iterdir()] == ["logs.db"]


def test_a_workspace_is_exported_and_imported_by_an_author(
    app: Flask, run: Run, ada: Person, ben: Person, tmp_path: Path
) -> None:
    team = create_team(ada)
    done(run_command(app, "workspace", "set-role", "team", ben.email, "editor"))
    ada.prompt()
    path = tmp_path / "team.ndjson"
    result = run("import", "-", "--user", ben.email, "--workspace", "team", data=join(GOOD))
    assert result.stderr.startswith("Imported for ben@example.com into team: 1 prompt"), result.stderr
    assert ben.get("/prompts").json == []
    (prompt,) = ada.get("/prompts", headers={"X-Workspace": "team"}).json
    assert prompt["ownerId"] == ben.id
    assert run("export", path, "--workspace", "team").stderr.startswith("Exported from team: 1 prompt")
    assert path.read_bytes() == ada.get("/export", headers={"X-Workspace": "team"}).data
    assert run("export", "-", "--workspace", team).stdout_bytes == path.read_bytes()


def test_only_an_editor_of_the_workspace_is_the_author_of_an_import(
    app: Flask, run: Run, ada: Person, ben: Person
) -> None:
    create_team(ada)
    arguments = ("import", "-", "--user", ben.email, "--workspace", "team")
    assert failure(run(*arguments, data=join(GOOD))) == "Error: ben@example.com is no member of team."
    done(run_command(app, "workspace", "set-role", "team", ben.email, "viewer"))
    message = "Error: The role of ben@example.com in team is viewer; this needs editor."
    assert failure(run(*arguments, data=join(GOOD))) == message
    assert ada.get("/prompts", headers={"X-Workspace": "team"}).json == []
    nowhere = run("import", "-", "--user", ben.email, "--workspace", "nowhere", data=join(GOOD))
    assert failure(nowhere) == "Error: No workspace has the id or the slug nowhere."


@only_sqlite
def test_an_export_is_of_the_workspace_of_an_account_or_of_another_one(run: Run, ada: Person) -> None:
    create_team(ada)
    assert failure(run("export", "-")) == "Error: Name what to export: --user EMAIL or --workspace WORKSPACE."
    both = "Error: --user means the personal workspace of an account: use it or --workspace, not both."
    assert failure(run("export", "-", "--user", ada.email, "--workspace", "team")) == both


@only_sqlite
def test_a_file_of_another_tool_has_the_same_ids_in_a_workspace_whoever_imports_it(
    app: Flask, run: Run, ada: Person, ben: Person
) -> None:
    create_team(ada)
    done(run_command(app, "workspace", "set-role", "team", ben.email, "editor"))
    for name in ("promptfoo_v3.json", "json_server.json"):
        of_ada, of_ben = (
            run("import", FIXTURES / name, "--user", person.email, "--workspace", "team") for person in (ada, ben)
        )
        assert of_ada.exit_code == 0, of_ada.stderr
        assert "Imported for ben@example.com into team: nothing." in of_ben.stderr
        assert run("import", FIXTURES / name, "--user", ben.email).exit_code == 0, "a copy of their own"


def create_team(owner: Person) -> str:
    answer = owner.post("/workspaces", {"name": "Team"})
    assert answer.status_code == 201, answer.text
    return str(answer.json["_id"])
