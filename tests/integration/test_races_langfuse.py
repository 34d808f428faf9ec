"""Concurrent calls of Langfuse's clients through Gunicorn, on both databases."""

from promptcrafter.database.base import Base
from tests.integration.test_races_workspaces import at_once, count_all
from tests.support.connection import Connection, sign_up
from tests.support.servers import LiveServer

PROMPTS, SCORES = "/api/public/v2/prompts", "/api/public/scores"
SCORE = {"id": "s1", "traceId": "0af7651916cd43dd8448eb211c80319c", "name": "tone", "value": 1}


def test_programs_that_write_one_name_at_once_make_one_prompt(any_live_server: LiveServer) -> None:
    token = sign_up(any_live_server)
    body = {"name": "Movie critic", "prompt": "Criticise {{movie}}.", "labels": ["production"]}
    answers = at_once([(Connection(any_live_server, token), "POST", PROMPTS, body) for _ in range(6)])
    assert sorted(answer.json["version"] for answer in answers) == [1, 2, 3, 4, 5, 6]
    (prompt,) = Connection(any_live_server, token).call("GET", "/prompts").json
    assert (prompt["version"], prompt["labels"]) == (6, ["production"])


def test_a_score_that_is_sent_several_times_at_once_waits_once(any_live_server: LiveServer) -> None:
    token = sign_up(any_live_server)
    answers = at_once([(Connection(any_live_server, token), "POST", SCORES, [SCORE]) for _ in range(6)])
    assert [answer.status for answer in answers] == [202] * 6
    assert count_all(any_live_server, [Base.metadata.tables["early_arrivals"].c.seq]) == 1
