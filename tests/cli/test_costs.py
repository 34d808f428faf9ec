"""The command `costs recompute`."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from promptcrafter.database.session import get_engine
from promptcrafter.logs import prices, token_costs
from tests.dialects.test_agenttest import EXPERIMENT, LOG, PAYLOAD
from tests.support.commands import done, refused, run
from tests.support.people import Caller, Person, sign_up


def spoil(app: Flask, log: dict[str, Any], **values: Any) -> None:
    """Give a stored log other values, as an older release or price list would have computed them."""
    columns = ", ".join(f"{name} = :{name}" for name in values)
    with app.app_context(), get_engine().begin() as connection:
        connection.execute(text(f"UPDATE logs SET {columns} WHERE id = :id"), {"id": log["_id"], **values})


def test_computed_costs_become_those_of_the_list_and_sent_values_stay(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    computed = ada.log(prompt, modelUsed="gpt-4o", input="What is the capital of France?", output="Paris")
    sent = ada.log(prompt, modelUsed="gpt-4o", inputTokens=1000, outputTokens=1000, cost=0.5)
    unpriced = ada.log(prompt, modelUsed="house-model", inputTokens=1000, outputTokens=1000)
    spoil(app, computed, cost=99, priced_as="openai/other", input_tokens=1)
    spoil(app, unpriced, cost=7, priced_as="openai/gpt-4o", computed='["cost"]')

    shown = done(run(app, "costs", "recompute"))
    assert shown.splitlines()[-1] == "2 of 2 logs would change: cost $106.000000 before, $0.000028 now."
    assert "house-model" in shown
    assert ada.get(f"/logs/{computed['_id']}").json["cost"] == 99

    assert "2 of 2 logs changed" in done(run(app, "costs", "recompute", "--apply"))
    assert ada.get(f"/logs/{computed['_id']}").json == computed
    assert ada.get(f"/logs/{sent['_id']}").json == sent
    assert ada.get(f"/logs/{unpriced['_id']}").json == unpriced
    assert "0 of 2 logs would change" in done(run(app, "costs", "recompute"))


def test_a_log_of_which_more_arrives_meanwhile_keeps_what_was_computed_with_that(
    app: Flask, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = ada.prompt()
    first, second = (ada.log(prompt, modelUsed="gpt-4o", input="What?", output="Paris") for _ in range(2))
    for log in (first, second):
        spoil(app, log, cost=99)
    recompute = token_costs.recomputed

    def recompute_late(values: Any) -> dict[str, Any]:
        changes = recompute(values)
        if values["id"] == first["_id"]:
            spoil(app, first, output="Paris, of course", output_tokens=4, cost=1)
        return changes

    monkeypatch.setattr(token_costs, "recomputed", recompute_late)
    assert "1 of 2 logs changed" in done(run(app, "costs", "recompute", "--apply"))
    shown = ada.get(f"/logs/{first['_id']}").json
    assert (shown["output"], shown["outputTokens"], shown["cost"]) == ("Paris, of course", 4, 1)
    assert ada.get(f"/logs/{second['_id']}").json == second


def test_one_workspace_can_be_computed_alone(app: Flask, ada: Person) -> None:
    ada.post("/workspaces", {"name": "Team"})
    body = {"title": "A title", "content": "c", "model": "m"}
    shared = ada.post("/prompts", body, headers={"X-Workspace": "team"}).json
    own, teams = (ada.log(prompt, modelUsed="gpt-4o", input="x", output="y") for prompt in (ada.prompt(), shared))
    for log in (own, teams):
        spoil(app, log, cost=99)
    assert "1 of 1 log changed" in done(run(app, "costs", "recompute", "--apply", "--workspace", "team"))
    assert [ada.get(f"/logs/{log['_id']}").json["cost"] for log in (own, teams)] == [99, teams["cost"]]


def test_counts_that_would_be_wrong_are_removed(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    reasoning = ada.log(prompt, modelUsed="o1", output="Paris.", input="What is the capital of France?")
    picture = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}]
    seen = ada.log(prompt, modelUsed="gpt-4o", output="A cat.", input=picture)
    spoil(app, reasoning, output_tokens=2, cost=0.00018, computed='["inputTokens","outputTokens","cost"]')
    spoil(app, seen, input_tokens=273028, cost=0.68, computed='["inputTokens","outputTokens","cost"]')
    done(run(app, "costs", "recompute", "--apply"))
    assert ada.get(f"/logs/{reasoning['_id']}").json == reasoning
    assert ada.get(f"/logs/{seen['_id']}").json == seen


def test_counts_stay_while_counting_is_off(app: Flask, with_settings: Callable[..., Caller], ada: Person) -> None:
    ben = sign_up(with_settings(token_counting=False), "ben")
    log = ben.log(ben.prompt(), modelUsed="gpt-4o", input="x", output="y")
    ben_app = ben.client.application
    spoil(ben_app, log, input_tokens=3, output_tokens=4, computed='["inputTokens","outputTokens"]')
    done(run(ben_app, "costs", "recompute", "--apply"))
    changed = ben.get(f"/logs/{log['_id']}").json
    assert (changed["inputTokens"], changed["outputTokens"]) == (3, 4)
    assert changed["cost"] == pytest.approx(3 * 2.5e-6 + 4 * 10e-6)
    assert changed["computed"] == ["inputTokens", "outputTokens", "cost"]


def test_tokens_with_a_price_of_their_own_get_no_cost_later_either(app: Flask, ada: Person) -> None:
    usage = {"prompt_tokens": 90, "completion_tokens": 5, "prompt_tokens_details": {"audio_tokens": 80}}
    log = ada.log(ada.prompt(), modelUsed="gpt-4o", usage=usage)
    assert "0 of 1 log would change" in done(run(app, "costs", "recompute"))
    assert ada.get(f"/logs/{log['_id']}").json == log


def test_results_of_agenttest_are_left_alone(app: Flask, ada: Person) -> None:
    ada.post("/experiments", EXPERIMENT)
    assert ada.post(LOG, PAYLOAD).status_code == 200
    assert "0 of 0 logs would change" in done(run(app, "costs", "recompute"))


def test_tokens_of_imported_logs_are_not_counted_and_only_their_missing_costs_are_computed(
    app: Flask, ada: Person
) -> None:
    prompt = ada.prompt()
    counted = ada.log(prompt, modelUsed="gpt-4o", inputTokens=1000, outputTokens=5)
    bare = ada.log(prompt, modelUsed="house-model", output="hello world")
    spoil(app, counted, cost=None, priced_as=None, priced=None, computed=None)
    spoil(app, bare, output_tokens=None, computed=None)
    shown = done(run(app, "costs", "recompute", "--apply"))
    assert shown.splitlines()[1].split()[:4] == ["gpt-4o", "1", "none", "$0.002550"]
    assert "1 of 2 logs changed" in shown
    assert ada.get(f"/logs/{counted['_id']}").json == counted
    assert "outputTokens" not in ada.get(f"/logs/{bare['_id']}").json


def test_one_account_can_be_chosen(app: Flask, ada: Person, ben: Person) -> None:
    mine, theirs = (person.log(person.prompt(), input="x", output="y") for person in (ada, ben))
    for log in (mine, theirs):
        spoil(app, log, cost=99)
    assert "1 of 1 log changed" in done(run(app, "costs", "recompute", "--user", ben.email, "--apply"))
    assert ada.get(f"/logs/{mine['_id']}").json["cost"] == 99
    assert ben.get(f"/logs/{theirs['_id']}").json == theirs
    assert "no account" in refused(run(app, "costs", "recompute", "--user", "eve@example.com")).lower()


def test_many_logs_are_computed_in_several_transactions(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    logs = [{"promptId": prompt["_id"], "modelUsed": f"model-{number % 3}", "output": "y"} for number in range(130)]
    ada.post("/logs/batch", {"logs": logs})
    with app.app_context(), get_engine().begin() as connection:
        connection.execute(text("UPDATE logs SET output_tokens = 77"))
    assert "130 of 130 logs changed" in done(run(app, "costs", "recompute", "--apply"))
    assert {log["outputTokens"] for log in ada.get("/logs").json} == {1}


def test_nothing_is_changed_without_the_price_list(app: Flask, ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    log = ada.log(ada.prompt(), input="x", output="y")
    monkeypatch.setattr(prices, "is_available", lambda: False)
    assert "cannot be loaded" in refused(run(app, "costs", "recompute", "--apply"))
    assert ada.get(f"/logs/{log['_id']}").json == log
