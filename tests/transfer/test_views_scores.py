"""Scores leave with their authors and come in as imported ones, each once; what logs keep of them follows."""

import json
from datetime import datetime
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptcrafter.database.session import get_engine
from promptcrafter.http.fields import as_number
from promptcrafter.logs.scores import SCORES_MAX
from promptcrafter.scores import configs
from promptcrafter.transfer import export_format, importer
from promptcrafter.workspaces.principal import at_home
from tests.contracts.test_unicode import ANY_TEXT
from tests.support.databases import only_sqlite
from tests.support.errors import assert_error
from tests.support.members import share
from tests.support.people import Answer, Person
from tests.support.transfer import NDJSON_HEADERS, as_imported, export, import_file, join, remove_all
from tests.transfer.test_importer_damage import GOOD, LOG, SCORE

START, FINISH = GOOD[0], {"type": "end"}
FIRST_FORM = {**START, "version": 1}
LOGS = GOOD[: LOG + 1]
TIME = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9999, 12, 31)).map(
    lambda moment: moment.isoformat(timespec="milliseconds") + "Z"
)
VALUES = (
    st.floats(allow_nan=False, allow_infinity=False).map(lambda number: as_number(number + 0.0))
    | st.booleans()
    | ANY_TEXT.map(lambda text: f"x{text}"[:64])
)
FIXED = "of the name score is fixed: a number from 0 to 10, with the direction up"


def score(id: str, **values: Any) -> dict[str, Any]:
    """Return a line of a score of `log1`; None takes a field away."""
    line = {**GOOD[SCORE], "_id": id, **values}
    return {name: value for name, value in line.items() if value is not None}


def author(id: str, name: str = "n") -> dict[str, Any]:
    return {"author": {"userId": id, "name": name}}


def lines(person: Person, kind: str = "score", query: str = "") -> list[dict[str, Any]]:
    rows = map(json.loads, person.get(f"/export{query}").data.splitlines())
    return [row for row in rows if row["type"] == kind]


def made(answer: Answer) -> tuple[int, int]:
    assert answer.status_code == 200, answer.text
    return answer.json["scores"]["created"], answer.json["scores"]["skipped"]


def aggregates(app: Flask, log_id: str) -> tuple[Any, ...]:
    """Return what a log keeps of its scores: figure, mean, number, and year of the first."""
    query = "SELECT score, mean_score, ratings, scored_at FROM logs WHERE id = '" + log_id + "'"
    with app.app_context(), get_engine().connect() as connection:
        *numbers, first = connection.exec_driver_sql(query).one()
        return *numbers, first and str(first)[:4]


@only_sqlite  # and so to PostgreSQL
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(VALUES, ANY_TEXT, ANY_TEXT.map(lambda text: text[:64]), TIME, TIME, TIME, st.integers(0, 3)),
        max_size=6,
    )
)
def test_lines_of_scores_come_out_as_they_went_in(
    ada: Person, other_account: Person, rows: list[tuple[Any, ...]]
) -> None:
    sent = []
    for number, (value, text, identifier, *times, kind) in enumerate(rows):
        line = {"type": "score", "_id": f"score{number}", "logId": "log1", "name": f"n{number}", "value": value}
        line |= {"comment": text, "annotator": ("human", "enduser", "judge", "code")[kind]}
        line |= author(f"user{kind}", f"x{text}"[:100]) if kind else {}
        line |= {"identifier": identifier} if identifier else {}
        line |= {"imported": True} | dict(zip(("createdAt", "updatedAt", "valuedAt"), times, strict=True))
        if line["valuedAt"] == line["updatedAt"]:
            del line["valuedAt"]
        sent.append(line)
    sent.sort(key=lambda line: line["createdAt"])
    assert made(import_file(ada, [*LOGS, *sent, FINISH])) == (len(sent), 0)
    found = lines(ada)
    assert [json.dumps(line) for line in found] == [json.dumps(line) for line in sent]
    left = export(ada)
    import_file(other_account, left)
    assert export(other_account) == left
    remove_all(ada)
    remove_all(other_account)


def test_authors_come_in_as_texts_and_are_no_accounts(ada: Person, ben: Person, other_account: Person) -> None:
    headers = share(ada, ben, "editor")
    log = ada.log(ada.prompt(), score=9)
    assert ben.patch(f"/logs/{log['_id']}", {"score": 4}, headers=headers).json["score"] == 4
    ben.post(f"/logs/{log['_id']}/scores", {"name": "tone", "value": "dry", "comment": "c"}, headers=headers)
    left = export(ada)
    assert made(import_file(other_account, left)) == (3, 0)
    shown = {row["_id"]: row for row in other_account.get(f"/logs/{log['_id']}/scores").json}
    for row in ada.get(f"/logs/{log['_id']}/scores").json:
        assert shown[row["_id"]] == {**row, "imported": True}
    assert other_account.get(f"/logs/{log['_id']}").json == ada.get(f"/logs/{log['_id']}").json
    assert aggregates(other_account.client.application, log["_id"])[:3] == (4, 6.5, 2)
    assert {row["author"]["name"] for row in other_account.get(f"/scores?author={ben.id}").json} == {"ben"}
    assert export(other_account) == as_imported(left)
    assert made(import_file(other_account, left)) == (0, 3)
    for made_up in (ada.id, ben.id):  # nobody forges the score of an account, and not even one for oneself
        other_account.post(f"/logs/{log['_id']}/scores", {"name": "score", "value": 0})
        forged = {**GOOD[SCORE], "_id": f"score{made_up[-9:]}", "logId": log["_id"], "name": "forged"}
        import_file(ada, [START, {**forged, **author(made_up, "ben"), "imported": False}, FINISH])
    (real, *_), forged_rows = ada.get("/scores?name=tone").json, ada.get("/scores?name=forged").json
    assert (real["imported"], {row["imported"] for row in forged_rows}) == (False, {True})


def test_the_first_form_has_one_score_of_an_unknown_author_for_each_figure(
    app: Flask, ada: Person, ben: Person
) -> None:
    whole = [FIRST_FORM, *GOOD[1:LOG], {**GOOD[LOG], "score": 6}, {**GOOD[LOG], "_id": "log3"}, FINISH]
    assert made(import_file(ada, whole)) == (0, 0)
    assert aggregates(app, "log1") == (6, 6, 1, "2024")
    assert aggregates(app, "log3") == (None, None, None, None)
    found = lines(ada)
    (shown,) = ada.get("/logs/log1/scores").json
    assert [(row["_id"], row.get("author"), row["value"], row["imported"]) for row in found] == [
        ("score1", None, 6, True)
    ]
    assert (shown["author"], shown["annotator"], shown["name"]) == (None, "human", "score")
    left = export(ada)
    assert import_file(ada, whole).json["logs"] == {"created": 0, "skipped": 2}
    assert export(ada) == left
    # the id of the score follows from that of the log, unless somebody has taken it
    there = {**GOOD[LOG], "_id": "log9", "score": 2}
    taken = [START, *GOOD[1:LOG], GOOD[LOG], score("score9"), FINISH]
    ben.post("/import?ids=new", data=join(whole), headers=NDJSON_HEADERS)
    assert [row["value"] for row in lines(ben)] == [6]
    import_file(ada, [START, score("score9"), FINISH])
    assert import_file(ada, [FIRST_FORM, there, FINISH]).json["logs"]["created"] == 1
    (row,) = ada.get("/logs/log9/scores").json
    assert (row["value"], row["_id"] != "score9", len(taken)) == (2, True, 9)


def test_the_second_form_doubles_nothing_and_keeps_a_figure_without_scores(app: Flask, ada: Person) -> None:
    figures = [{**GOOD[LOG], "score": 6}, {**GOOD[LOG], "_id": "log3", "score": 1}]
    rows = [
        score("score1", value=6, createdAt="2021-06-20T13:10:00.000Z"),
        score("score2", value=9, **author("user2")),
        score("score3", value=3, **author("user2"), identifier="again"),
        score("score4", value=0, annotator="judge", author=None),
    ]
    assert made(import_file(ada, [*GOOD[:LOG], *figures, *rows, FINISH])) == (4, 0)
    assert aggregates(app, "log1") == (6, 6, 3, "2021")
    assert aggregates(app, "log3") == (1, None, None, None)
    assert [row["_id"] for row in lines(ada)] == ["score1", "score2", "score3", "score4"]
    assert ada.patch("/logs/log3", {"score": 8}).json["score"] == 8
    assert aggregates(app, "log3")[:3] == (8, 8, 1)


def test_form_1_writes_what_release_0_1_0_reads(app: Flask, ada: Person, other_account: Person) -> None:
    messages = [{"role": "user", "content": "Why?"}]
    prompt = ada.prompt(content=None, messages=messages, config={"a": 1}, description="d")
    ada.patch(f"/prompts/{prompt['_id']}", {"messages": None, "content": "Text", "comment": "c"})
    log = ada.log(prompt, score=7, cachedInputTokens=1, inputTokens=2)
    ada.post(f"/logs/{log['_id']}/scores", {"name": "tone", "value": "dry"})
    failed = ada.log(prompt, output="half")
    variants = [{"key": "A", "trafficPercent": 1, "promptId": prompt["_id"]}]
    ada.post("/experiments", {"slug": "s", "name": "n", "status": "ACTIVE", "variants": variants})
    with app.app_context(), get_engine().begin() as connection:
        connection.exec_driver_sql(f"UPDATE logs SET status = 'error', error = 'e' WHERE id = '{failed['_id']}'")
        connection.exec_driver_sql("UPDATE experiment_variants SET prompt_version = 2")
    rows = list(map(json.loads, ada.get("/export?form=1").data.splitlines()))
    header, shown, first, second, experiment, logged, end = rows
    assert header["version"] == 1
    assert "description" not in shown
    assert first["content"] == prompt["content"]
    assert set(second) == {"type", "promptId", "version", "content", "model", "labels", "createdAt"} == set(first)
    assert experiment["variants"] == [{"payload": {}, **variants[0]}]
    assert (logged["_id"], logged["score"], "cachedInputTokens" in logged) == (log["_id"], 7, False)
    assert end == {"type": "end", "prompts": 1, "versions": 2, "experiments": 1, "traces": 0, "logs": 1}
    of_prompt = ada.get(f"/export?form=1&promptId={prompt['_id']}").data.splitlines()
    assert [json.loads(line)["type"] for line in of_prompt] == ["export", "prompt", "version", "version", "log", "end"]
    assert made(import_file(other_account, ada.get("/export?form=1").data)) == (0, 0)
    assert other_account.get("/export?form=1").data == ada.get("/export?form=1").data
    for form in ("3", "0", "two"):
        answer = ada.get(f"/export?form={form}")
        assert_error(answer, 400, "invalid_fields")
        assert answer.json["details"] == {"form": ["must be a whole number from 1 to 2"]}
    variant = lines(ada, "experiment")[0]["variants"][0]
    assert variant["promptVersion"] == 2
    ada.delete(f"/prompts/{prompt['_id']}")
    assert "promptVersion" not in lines(ada, "experiment")[0]["variants"][0]


def test_the_export_of_a_prompt_has_the_scores_of_its_logs(ada: Person, ben: Person) -> None:
    one, other = ada.prompt(), ada.prompt()
    log = ada.log(one, score=7)
    ada.log(other, score=1)
    query = f"?promptId={one['_id']}"
    assert [(row["logId"], row["value"]) for row in lines(ada, query=query)] == [(log["_id"], 7)]
    copied = ben.post("/import?ids=new", data=ada.get(f"/export{query}").data, headers=NDJSON_HEADERS)
    assert made(copied) == (1, 0)
    ((row,), (copy,)) = lines(ben), ben.get("/logs").json
    assert (row["logId"], copy["score"], row["_id"] != lines(ada, query=query)[0]["_id"]) == (copy["_id"], 7, True)
    ada.delete(f"/prompts/{one['_id']}")
    assert [row["value"] for row in lines(ada)] == [1]


def test_what_is_there_is_skipped_and_what_is_elsewhere_a_conflict(app: Flask, ada: Person, ben: Person) -> None:
    import_file(ada, [*LOGS, score("score1", value=5), FINISH])
    other = score("score3", value=3, **author("user3"))
    assert made(import_file(ada, [START, score("score1", value=1), other, FINISH])) == (1, 1)
    assert made(import_file(ada, [START, score("score2", value=2), other, FINISH])) == (0, 2), "the same rater"
    assert [row["value"] for row in lines(ada)] == [5, 3]
    assert aggregates(app, "log1") == (None, 4, 2, "2024")
    answer = import_file(ben, [*LOGS[:1], score("score3", logId="log1"), FINISH])
    assert_error(answer, 409, "import_conflict")
    assert list(answer.json["details"]) == ["line 2._id"]
    assert import_file(ben, [START, score("score9"), FINISH]).json["details"] == {
        "line 2.logId": ["must be in a line before or in the workspace"]
    }
    left = export(ada)
    key = {**NDJSON_HEADERS, "Idempotency-Key": "k"}
    for expected in ((2, 0), (0, 2)):
        assert made(ben.post("/import?ids=new", data=left, headers=key)) == expected
    assert {row["logId"] for row in lines(ben)} == {ben.get("/logs?sort=createdAt").json[0]["_id"]}


def test_nobody_counts_twice_who_scores_again_what_came_back(app: Flask, ada: Person, ben: Person) -> None:
    log = ada.log(ada.prompt(), score=9)
    path = f"/logs/{log['_id']}"
    mine = export(ada)
    ada.delete(path)
    assert made(import_file(ada, mine)) == (1, 0)
    assert lines(ada)[0]["imported"]
    assert ada.patch(path, {"score": 3}).json["score"] == 3
    (row,) = ada.get(f"{path}/scores").json
    assert (row["value"], row["imported"], row["comment"]) == (3, False, None)
    assert aggregates(app, log["_id"])[:3] == (3, 3, 1)
    assert made(import_file(ada, mine)) == (0, 1), "there is one of this account already"
    assert made(import_file(ada, export(ada))) == (0, 1)


def test_a_log_goes_on_showing_a_score_that_it_has(app: Flask, ada: Person, ben: Person) -> None:
    headers = share(ada, ben, "editor")
    log = ada.log(ada.prompt(), score=9)
    path = f"/logs/{log['_id']}"
    late = {"createdAt": "9999-12-31T23:59:59.999Z", "updatedAt": "9999-12-31T23:59:59.999Z"}
    imported = score("score7", logId=log["_id"], value=2, **late)
    assert made(import_file(ada, [START, imported, FINISH])) == (1, 0)
    assert aggregates(app, log["_id"])[:3] == (9, 5.5, 2)
    assert ben.patch(path, {"score": 4}, headers=headers).json["score"] == 4
    (his,) = ada.get(f"/scores?author={ben.id}").json
    assert ben.delete(f"/scores/{his['_id']}", headers=headers).status_code == 204
    assert aggregates(app, log["_id"])[:3] == (2, 5.5, 2), "the newest that remains"


def test_a_log_has_at_most_so_many_scores_also_by_an_import(ada: Person) -> None:
    def some(first: int, last: int) -> list[Any]:
        return [score(f"score{n}", **author(f"user{n}")) for n in range(first, last)]

    answer = import_file(ada, [*LOGS, *some(0, SCORES_MAX + 1), FINISH])
    rule = [f"must be of a log with at most {SCORES_MAX:,} scores"]
    assert answer.json["details"] == {f"line {len(LOGS) + SCORES_MAX + 1}.logId": rule}
    assert made(import_file(ada, [*LOGS, *some(0, SCORES_MAX), FINISH])) == (SCORES_MAX, 0)
    assert made(import_file(ada, [START, *some(0, 10), FINISH])) == (0, 10)
    assert import_file(ada, [START, *some(0, 1), *some(2000, 2001), FINISH]).json["details"] == {"line 3.logId": rule}


def test_what_changes_between_check_and_storing_is_seen(app: Flask, ada: Person) -> None:
    principal = at_home(ada.id)
    import_file(ada, [*LOGS, {**GOOD[LOG], "_id": "log3"}, FINISH])
    file = [START, score("score1"), score("score2", logId="log3"), FINISH]

    def check() -> Any:
        import io

        return importer.check(principal, export_format.read_records(io.BytesIO(join(file))))

    with app.app_context(), check() as checked:
        import_file(ada, [START, score("score8", value=1), FINISH])
        counts = importer.store_checked(principal, checked)
    assert counts["scores"] == {"created": 1, "skipped": 1}
    remaining = [START, score("score5", **author("user5")), FINISH]
    file[:] = remaining
    with app.app_context(), check() as checked:
        ada.delete("/logs/log1")
        with pytest.raises(importer.ImportInterrupted) as interrupted:
            importer.store_checked(principal, checked)
    assert interrupted.value.details == {"line 2.logId": ["must be in a line before or in the workspace"]}
    assert [row["logId"] for row in lines(ada)] == ["log3"]


def test_the_scores_of_a_deleted_account_stay_and_leave_as_those_of_one(
    app: Flask, ada: Person, ben: Person, other_account: Person
) -> None:
    headers = share(ada, ben, "editor")
    log = ada.log(ada.prompt(), score=9)
    ben.patch(f"/logs/{log['_id']}", {"score": 4}, headers=headers)
    body = {"currentPassword": ben.password, "anonymise": True}
    assert ben.delete("/auth/me", json=body).status_code == 204
    gone = {"userId": ben.id, "name": "deleted account"}
    assert [row["author"] for row in ada.get("/scores").json] == [gone, {"userId": ada.id, "name": "ada"}]
    left = export(ada)
    assert made(import_file(other_account, left)) == (2, 0)
    assert export(other_account) == as_imported(left)
    assert aggregates(app, log["_id"])[:3] == (4, 6.5, 2)


CONFIGS = (
    ("score", {"kind": "number", "min": 0, "max": 10, "direction": "up"}),
    ("tone", {"kind": "category", "categories": ["dry", "kind, é"], "description": "How it sounds"}),
    ("passes", {"kind": "boolean", "direction": "up"}),
    ("Length in-words", {"kind": "number", "min": 0.1, "direction": "down"}),
)


def test_configs_leave_and_come_in_archived_ones_included(ada: Person, other_account: Person) -> None:
    for name, config in CONFIGS:
        assert ada.put(f"/score-configs/{name}", config).status_code == 200
    ada.delete("/score-configs/passes")
    left = export(ada)
    names = sorted(name for name, _ in CONFIGS)
    assert sorted(line["name"] for line in lines(ada, "scoreConfig")) == names
    assert json.loads(left.splitlines()[-1])["scoreConfigs"] == 4
    for created, skipped in ((4, 0), (0, 4)):
        answer = import_file(other_account, left)
        assert (answer.status_code, answer.json["scoreConfigs"]) == (200, {"created": created, "skipped": skipped})
        assert export(other_account) == left
    assert other_account.get("/score-configs").json == ada.get("/score-configs").json
    copy = other_account.post("/import?ids=new", data=left, headers=NDJSON_HEADERS).json
    assert copy["scoreConfigs"] == {"created": 0, "skipped": 4}
    log = other_account.log(other_account.prompt())
    refused = other_account.post(f"/logs/{log['_id']}/scores", {"name": "tone", "value": "rude"})
    assert refused.json["details"] == {"value": ["must be one of dry, kind, é, as the config of tone says"]}
    assert other_account.put("/score-configs/passes", {"kind": "number"}).status_code == 200
    assert b"scoreConfig" not in ada.get("/export?form=1").data
    assert lines(ada, "scoreConfig", f"?promptId={ada.prompt()['_id']}") == []


def test_a_config_that_a_workspace_has_stays(ada: Person, other_account: Person) -> None:
    ada.put("/score-configs/tone", {"kind": "number", "max": 3})
    other_account.put("/score-configs/tone", {"kind": "boolean"})
    before = export(other_account)
    assert import_file(other_account, export(ada)).json["scoreConfigs"] == {"created": 0, "skipped": 1}
    assert export(other_account) == before


@only_sqlite
@pytest.mark.parametrize(
    ("changes", "details"),
    [
        ({"kind": "text"}, {"kind": ["must be one of number, boolean, category"]}),
        ({"min": 4, "max": 3}, {"max": ["must not be less than min"]}),
        ({"kind": "category"}, {"categories": ["is required: the texts that a score may be"]}),
        ({"direction": None}, {"direction": ["is required"]}),
        ({"name": "1"}, {"name": ["must be a letter and up to 63 letters, digits, blanks, `_`, `.` or `-`"]}),
        ({"name": "score", "min": 0}, {"max": [FIXED], "direction": [FIXED]}),
        ({"extra": 1}, {"extra": ["is not a field of such a line"]}),
    ],
)
def test_a_line_of_a_config_is_checked(ada: Person, changes: dict[str, Any], details: dict[str, Any]) -> None:
    answer = import_file(ada, [START, config_line(**changes), FINISH])
    assert (answer.status_code, answer.json["details"]) == (
        400,
        {f"line 2.{field}": rules for field, rules in details.items()},
    )


@only_sqlite
def test_configs_of_a_file_are_different_and_not_too_many(ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = import_file(ada, [START, config_line(), config_line(), FINISH])
    assert answer.json["details"] == {"line 3.name": ["stands in line 2 already"]}
    assert import_file(ada, [FIRST_FORM, config_line(), FINISH]).json["details"] == {
        "line 2.type": ["must not be scoreConfig in a file of version 1"]
    }
    monkeypatch.setattr(importer, "CONFIGS_MAX", 2)
    monkeypatch.setattr(configs, "CONFIGS_MAX", 2)
    ada.put("/score-configs/before", {"kind": "boolean"})
    two, three = config_line(name="two"), config_line(name="three")
    rule = "must be of a workspace with at most 2 of them, archived ones included"
    assert import_file(ada, [START, two, three, FINISH]).json["details"] == {"line 3.name": [rule]}
    assert import_file(ada, [START, config_line(name="before"), two, FINISH]).json["scoreConfigs"] == {
        "created": 1,
        "skipped": 1,
    }
    monkeypatch.setattr(importer, "CONFIGS_MAX", 3)  # as if another was made since the check
    assert_error(import_file(ada, [START, three, FINISH]), 409, "too_many_score_configs")


def config_line(**changes: Any) -> dict[str, Any]:
    times = dict.fromkeys(("createdAt", "updatedAt"), "2026-01-01T00:00:00.000Z")
    line = {"type": "scoreConfig", "name": "tone", "kind": "number", "direction": "none", **times, **changes}
    return {name: value for name, value in line.items() if value is not None}
