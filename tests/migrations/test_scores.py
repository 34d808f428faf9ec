"""The migration to scores of several raters: each stored score becomes a row, and the step back keeps the figures."""

from typing import Any

from flask import Flask
from flask_migrate import downgrade, upgrade
from sqlalchemy import inspect, text

from promptcrafter.database.session import get_engine
from promptcrafter.logs.input_keys import find_input_key
from promptcrafter.maintenance.downgrade import find_losses
from tests.support.people import Caller, sign_up

BEFORE = "a6f3c8d15e29"
COLUMNS = "id, author_id, prompt_id, output, notes, score, input, variables, created_at, updated_at"


def read(statement: str) -> list[Any]:
    with get_engine().connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def run(statement: str) -> None:
    with get_engine().begin() as connection:
        connection.execute(text(statement))


def test_scores_become_rows_and_a_step_back_keeps_what_the_release_before_knows(migrated_app: Flask) -> None:
    client = Caller(migrated_app.test_client())
    ada, ben = sign_up(client, "ada"), sign_up(client, "ben")
    prompt, bens = ada.prompt(), ben.prompt()
    inputs: list[dict[str, Any]] = [
        {"score": 9.5, "input": "What?", "notes": "n"},
        {"input": "What?", "variables": {"b": 1}},
        {"score": 0, "variables": {"b": [1.5, None, "é\u2028"], "a": {"d": 1, "c": 1e300}}},
        {"variables": {"a": {"c": 1e300, "d": 1}, "b": [1.5, None, "é\u2028"]}},
        {"input": {"b": 1, "a": 2}},
        {"variables": {}},
        {},
    ]
    logs = [ada.log(prompt, **values) for values in inputs]
    for number in range(101):
        ada.log(prompt, input=f"input {number}", score=number % 11)
    of_ben = ben.log(bens, score=3)
    with migrated_app.app_context():
        computed = read("SELECT id, input_key FROM logs ORDER BY seq")
        run("DELETE FROM scores")
        before = read(f"SELECT {COLUMNS} FROM logs ORDER BY seq")
        downgrade(revision=BEFORE)
        assert read(f"SELECT {COLUMNS} FROM logs ORDER BY seq") == before
        tables = set(inspect(get_engine()).get_table_names())
        assert tables.isdisjoint(("scores", "score_configs"))
        run("UPDATE logs SET id = 'log1234' WHERE id = (SELECT id FROM logs WHERE input = 'input 5')")
        upgrade()
        assert dict(read("SELECT id, input_key FROM logs")).items() >= {
            (log["_id"], key) for (log_id, key), log in zip(computed, logs, strict=False) if log_id == log["_id"]
        }
        keys = dict(read("SELECT id, input_key FROM logs"))
        assert [keys[log["_id"]] for log in logs[:2]] == [find_input_key({"input": "What?"})] * 2
        assert keys[logs[2]["_id"]] == keys[logs[3]["_id"]]
        assert (keys[logs[-1]["_id"]], len(set(keys.values()))) == (None, 101 + 5)
        rows = read(
            "SELECT scores.id, logs.id, scores.workspace_id = logs.workspace_id, scores.prompt_id = logs.prompt_id, "
            "logs.author_id = scores.author_id, rater = logs.author_id, rater_id = logs.author_id, number = score, "
            "mean_score = score, ratings, scored_at = logs.updated_at, scores.created_at = logs.updated_at, "
            "valued_at = logs.updated_at, scores.name, annotator, identifier, value_kind "
            "FROM logs LEFT JOIN scores ON log_seq = logs.seq WHERE score IS NOT NULL ORDER BY logs.seq"
        )
        assert len(rows) == 2 + 101 + 1
        for score_id, log_id, *others in rows:
            assert score_id == log_id.replace("log", "score", 1)
            assert others == [1] * 11 + ["score", "human", "", "number"]
        assert read("SELECT count(*) FROM logs WHERE score IS NULL AND coalesce(mean_score, ratings) IS NOT NULL") == [
            (0,)
        ]
    (score,) = ben.get("/scores").json
    assert (score["logId"], score["author"]["name"], score["value"]) == (of_ben["_id"], "ben", 3)
    assert [each["value"] for each in ada.get(f"/logs/{logs[0]['_id']}/scores").json] == [9.5]
    assert len(ada.get("/scores/score1234").json) > 1
    assert ada.patch(f"/logs/{logs[0]['_id']}", {"score": 5}).json["score"] == 5
    assert len(ada.get(f"/logs/{logs[0]['_id']}/scores").json) == 1, "the author's own is replaced"
    for name, value, annotator in (("score", 1, "judge"), ("tone", "kind", "human")):
        body = {"name": name, "value": value, "annotator": annotator}
        assert ada.post(f"/logs/{logs[0]['_id']}/scores", body).status_code == 201
    assert ada.put("/score-configs/tone", {"kind": "boolean"}).status_code == 200
    ada.post("/experiments", {"slug": "e", "name": "n", "variants": [{"key": "A", "trafficPercent": 100}]})
    with migrated_app.app_context():
        run(f"UPDATE logs SET status = 'error', error = 'timeout', output = NULL WHERE id = '{logs[1]['_id']}'")
        run("UPDATE experiment_variants SET prompt_version = 1")
        losses = find_losses(BEFORE)
        lost = (losses.scores, losses.score_configs, losses.pinned_variants, losses.call_details)
        assert lost == (2, 1, 1, 1)
        figures = read("SELECT id, score FROM logs ORDER BY seq")
        downgrade(revision=BEFORE)
        assert read("SELECT id, score FROM logs ORDER BY seq") == figures
        assert read(f"SELECT output FROM logs WHERE id = '{logs[1]['_id']}'") == [("",)]
        upgrade()
    assert [each["name"] for each in ada.get(f"/logs/{logs[0]['_id']}/scores").json] == ["score"]
    assert len(ada.get("/logs?sort=-score&minScore=0").json) == 2 + 101
