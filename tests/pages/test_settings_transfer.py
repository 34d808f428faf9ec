"""The settings: a workspace is exported to a file, and a file imported."""

import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from tests.support.members import share
from tests.support.people import Answer, Caller, Person, sign_up
from tests.support.transfer import export
from tests.support.visitors import Visitor, home_of, text_of

FOREIGN = "prompt_01jz8x4m5n6p7q8r9s0t1v2w3x"


def send(visitor: Visitor, data: bytes | None, path: str = "/settings/import", **fields: Any) -> Answer:
    file = (io.BytesIO(b""), "") if data is None else (io.BytesIO(data), "export.ndjson")
    return visitor.submit(path, {**fields, "file": file})


def test_the_download_is_the_export_of_the_api(app: Flask, ada: Person) -> None:
    prompt, other = ada.prompt(title="One"), ada.prompt(title="Other")
    ada.log(prompt)
    visitor = Visitor(app, ada)
    assert "Download the export" in text_of(visitor.get("/settings/transfer"))
    answer = visitor.get("/settings/export")
    assert (answer.status_code, answer.data) == (200, export(ada))
    slug = visitor.home.rpartition("/")[2]
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{slug}.ndjson"'
    part = visitor.get(f"/settings/export?promptId={prompt['_id']}")
    assert part.data == ada.get(f"/export?promptId={prompt['_id']}").data
    assert other["_id"] not in part.text
    assert visitor.get(f"/settings/export?promptId={FOREIGN}").status_code == 404
    assert [entry["action"] for entry in ada.get(f"/workspaces/{slug}/audit?action=export").json] == ["export"] * 4


def test_an_import_says_what_is_new_and_what_was_there(app: Flask, ada: Person, ben: Person) -> None:
    prompt = ada.prompt(title="One")
    for _ in range(2):
        ada.log(prompt)
    data = export(ada)
    visitor = Visitor(app, ada)
    again = text_of(send(visitor, data, ids="keep"))
    assert "Nothing new was in the file. Already here, and left as they are: 1 prompt, 1 version, 2 outputs" in again
    copied = text_of(send(visitor, data, ids="new"))
    assert "Imported: 1 prompt, 1 version, 2 outputs" in copied
    assert len(ada.get("/prompts").json) == 2


@pytest.mark.parametrize("kind", ["id", "slug"])
def test_an_import_that_meets_what_is_elsewhere_leads_to_a_copy_in_the_words_of_the_page(
    app: Flask, ada: Person, ben: Person, kind: str
) -> None:
    prompt = ada.prompt(title="One", slug="one")
    data = export(ada)
    person = ada
    if kind == "id":
        person = ben
        reason = "What is in line 2 of the file is in another workspace of this server already."
    else:
        ada.delete(f"/prompts/{prompt['_id']}")
        other = ada.prompt(title="Two", slug="one")["_id"]
        reason = f"line 2.slug is that of {other} in the workspace: one"
    visitor = Visitor(app, person)
    keep, copy = (f'name="ids" value="{each}" checked' for each in ("keep", "new"))
    assert keep in visitor.get("/settings/transfer").text
    conflict = send(visitor, data, ids="keep")
    text = text_of(conflict)
    assert (conflict.status_code, "Nothing was imported" in text, reason in text) == (409, True, True), text
    assert ("make a copy, which is chosen below" in text, "ids=new" in text) == (True, False)
    assert (keep in conflict.text, copy in conflict.text) == (False, True)
    assert "Imported: 1 prompt, 1 version" in text_of(send(visitor, data, ids="new"))


def test_a_faulty_line_is_named_and_nothing_is_imported(app: Flask, ada: Person, ben: Person) -> None:
    ada.prompt(title="One")
    lines = export(ada).splitlines(keepends=True)
    visitor = Visitor(app, ben)
    for broken in (b"not json\n", re.sub(rb'"title":"One"', b'"title":7', lines[1])):
        page = send(visitor, b"".join([lines[0], broken, *lines[2:]]))
        assert (page.status_code, "line 2" in text_of(page)) == (400, True), broken
        assert "Nothing was imported" in text_of(page)
    assert ben.get("/prompts").json == []


def test_a_form_without_a_file_or_cut_off_is_refused(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    for page in (send(visitor, None), visitor.submit("/settings/import", {"ids": "new"})):
        assert (page.status_code, "Choose a file" in text_of(page)) == (400, True)
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    headers = {"Origin": "http://localhost", "Content-Type": "multipart/form-data; boundary=b"}
    assert visitor.submit("/settings/import", b"", headers).status_code == 400
    for body in (
        b"nonsense",
        head[:20],
        head + export(ada),
        b"--b\r\n\r\n\r\n--b--\r\n",
        b"--b\r\nX: \xff\r\n\r\n",
    ):
        page = visitor.submit("/settings/import", body, headers)
        assert (page.status_code, "form is malformed" in text_of(page)) == (400, True), body
    field = b'--b\r\nContent-Disposition: form-data; name="ids"\r\n\r\n' + b"x" * 2000 + b"\r\n--b--\r\n"
    assert visitor.submit("/settings/import", field, headers).status_code == 413
    assert visitor.submit("/settings/import", b"x" * 1_000_000, headers).status_code == 413, "no boundary in sight"


def test_a_field_behind_the_file_is_refused_before_anything_is_imported(app: Flask, ada: Person, ben: Person) -> None:
    ada.prompt(title="One")
    visitor = Visitor(app, ben)
    file = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' + export(ada)
    field = b'--b\r\nContent-Disposition: form-data; name="ids"\r\n\r\nnew\r\n'
    headers = {"Origin": "http://localhost", "Content-Type": "multipart/form-data; boundary=b"}
    page = visitor.submit("/settings/import", file + b"\r\n" + field + b"--b--\r\n", headers)
    assert (page.status_code, "ids must come before the file in the form" in text_of(page)) == (400, True)
    assert ben.get("/prompts").json == []
    page = visitor.submit("/settings/import", field + file + b"\r\n--b--\r\n", headers)
    assert "Imported: 1 prompt, 1 version" in text_of(page)


def test_a_file_may_be_larger_than_other_bodies_but_not_than_its_own_limit(
    with_settings: Callable[..., Caller],
) -> None:
    caller = with_settings(max_body_bytes=2048, max_import_bytes=20_000)
    cleo = sign_up(caller, "cleo")
    visitor = Visitor(caller.client.application, cleo)
    data = export(cleo)
    blank = (b" " * 20 + b"\n") * 500
    assert send(visitor, data + blank).status_code == 200
    for size in (2, 20):
        large = send(visitor, data + blank * size)
        assert (large.status_code, "may have at most 20,000 bytes" in text_of(large)) == (413, True), size


@pytest.mark.parametrize("role", ["viewer", "editor"])
def test_a_viewer_exports_and_only_editors_import(app: Flask, ada: Person, ben: Person, role: str) -> None:
    ada.prompt(title="One")
    data = export(ada)
    share(ada, ben, role)
    visitor, home = Visitor(app, ben), home_of(ada)
    may_import = role == "editor"
    assert ("Import the file" in visitor.get(f"{home}/settings/transfer").text) is may_import
    assert visitor.get(f"{home}/settings/export").status_code == 200
    for file in (data, None):
        expected = (200 if file else 400) if may_import else 403
        assert send(visitor, file, f"{home}/settings/import").status_code == expected


def test_the_own_score_that_came_with_an_import_is_shown_as_imported_and_replaced_by_the_next(
    app: Flask, ada: Person, ben: Person
) -> None:
    share(ada, ben, "editor")
    log = ada.log(ada.prompt())
    for person, value in ((ada, 7), (ben, 5)):
        assert person.post(f"/logs/{log['_id']}/scores", {"name": "score", "value": value}).status_code == 201
    data = export(ada)
    visitor = Visitor(app, ada)
    visitor.submit("/workspaces", {"name": "Team"})
    send(visitor, data, "/app/w/team/settings/import", ids="new")
    (copy,) = ada.get("/logs", headers={"X-Workspace": "team"}).json
    page = text_of(visitor.get(f"/app/w/team/outputs/{copy['_id']}"))
    assert "A score of 7 by you came with an import." in page
    assert page.count("imported just now") == 2
    review = "/app/w/team/review?raters=2"
    raters = text_of(visitor.get(review))
    assert ("ada (imported) 1" in raters, "ben (imported) 1" in raters) == (True, True), raters
    visitor.submit(f"/app/w/team/outputs/{copy['_id']}/score", {"value": "8"})
    page = text_of(visitor.get(f"/app/w/team/outputs/{copy['_id']}"))
    assert ("came with an import" in page, page.count("imported just now")) == (False, 1), (
        "it replaces the imported one"
    )
    raters = text_of(visitor.get(review))
    assert ("ada (imported)" in raters, "ben (imported) 1" in raters, "differ by 3" in raters) == (False, True, True), (
        raters
    )
