"""Which of two groups is better, as the API says it: settled only by what the data can carry."""

import random
from typing import Any

import pytest

from tests.support.people import Person


def compared(person: Person, path: str) -> list[dict[str, Any]]:
    answer = person.get(path)
    assert answer.status_code == 200, answer.text
    return list(answer.json["comparisons"])


def log_all(person: Person, logs: list[dict[str, Any]]) -> None:
    answer = person.post("/logs/batch", {"logs": [{"output": "x", "modelUsed": "m", **log} for log in logs]})
    assert {result["status"] for result in answer.json["results"]} == {201}, answer.text


def paired_logs(prompt_id: str, pairs: int) -> list[dict[str, Any]]:
    """Make logs of two versions for the same inputs, of which the second scores 2 higher and costs half as much."""
    chance = random.Random(1)
    logs = []
    for number in range(pairs):
        score = chance.choice([4, 5, 6])
        about = {"promptId": prompt_id, "variables": {"question": number}}
        cost = chance.uniform(0.9, 1.1)
        logs += [
            {**about, "promptVersion": 1, "score": score, "cost": cost, "latencyMs": 100},
            {**about, "promptVersion": 2, "score": score + 2, "cost": cost / 2, "latencyMs": 100},
        ]
    return logs


def two_versions(person: Person) -> dict[str, Any]:
    prompt = person.prompt()
    person.patch(f"/prompts/{prompt['_id']}", {"content": "another"})
    return prompt


def test_a_better_version_on_the_same_inputs_is_settled(ada: Person) -> None:
    prompt = two_versions(ada)
    log_all(ada, paired_logs(prompt["_id"], 60))
    path = f"/prompts/{prompt['_id']}/stats?groupBy=version"
    (found,) = compared(ada, path)
    assert (found["a"], found["b"], found["basis"], found["n"]) == ({"version": 1}, {"version": 2}, "paired", 60)
    assert (found["difference"], found["settled"], found["higher"], found["oneLook"]) == (2, "b", "b", False)
    assert 0 < found["interval95"][0] < 2 < found["interval95"][1]
    assert found["equivalent"] is False
    assert (found["cost"]["ratio"], found["cost"]["settled"]) == (pytest.approx(0.5, rel=1e-5), "b")
    assert (found["latencyMs"]["ratio"], found["latencyMs"]["settled"]) == (1, None)
    assert compared(ada, f"{path}&margin=8")[0]["equivalent"] is True
    assert compared(ada, f"/stats?groupBy=version&promptId={prompt['_id']}&since=2020-01-01") == [found]
    # Groups or logs that may have been chosen for their scores
    for chosen in (
        f"{path}&since=7d",
        f"{path}&until=2999-01-01",
        f"/stats?groupBy=version&model=m&promptId={prompt['_id']}",
    ):
        (looked,) = compared(ada, chosen)
        assert (looked["oneLook"], looked["settled"], looked["difference"]) == (True, None, 2), chosen
    ada.put(f"/prompts/{prompt['_id']}/labels/old", {"version": 1})
    for grouping in ("label", "version,day"):
        (looked,) = compared(ada, f"/prompts/{prompt['_id']}/stats?groupBy={grouping}")
        assert (looked["oneLook"], looked["settled"]) == (True, None), grouping
    table = ada.get(path, headers={"Accept": "text/markdown"}).text
    assert "comparisons" not in table


def test_groups_that_may_differ_in_anything_are_never_settled(ada: Person) -> None:
    prompt = two_versions(ada)
    logs = paired_logs(prompt["_id"], 60)
    log_all(ada, [{key: value for key, value in log.items() if key != "variables"} for log in logs])
    (found,) = compared(ada, f"/prompts/{prompt['_id']}/stats?groupBy=version")
    assert (found["basis"], found["settled"], found["equivalent"]) == ("observational", None, False)
    assert found["difference"] == pytest.approx(2)


def test_what_else_differs_is_named(ada: Person) -> None:
    prompt = two_versions(ada)
    logs = [{"promptId": prompt["_id"], "promptVersion": 1, "modelUsed": "a", "score": 5}] * 30
    logs += [{"promptId": prompt["_id"], "promptVersion": 2, "modelUsed": "b", "score": 7}] * 30
    logs += [{"promptId": prompt["_id"], "promptVersion": 2, "modelUsed": "b"}] * 30
    log_all(ada, logs)
    (found,) = compared(ada, f"/prompts/{prompt['_id']}/stats?groupBy=version")
    assert found["warnings"] == ["The models differ", "The shares of scored logs differ"]


def test_other_scores_are_compared_in_the_direction_of_their_configuration(ada: Person) -> None:
    prompt = two_versions(ada)
    ada.put("/score-configs/errors", {"kind": "number", "min": 0, "max": 10, "direction": "down"})
    logs = paired_logs(prompt["_id"], 60)
    for log in logs:
        log["errors"] = log.pop("score")
    log_all(ada, [{key: value for key, value in log.items() if key != "errors"} for log in logs])
    listed = ada.get(f"/logs?promptId={prompt['_id']}&sort=createdAt").json
    scores = [
        {"logId": log["_id"], "name": name, "value": value["errors"], "annotator": "judge"}
        for log, value in zip(listed, logs, strict=True)
        for name in ("errors", "unknown")
    ]
    answer = ada.post("/scores/batch", {"scores": scores})
    assert {result["status"] for result in answer.json["results"]} == {201}, answer.text
    path = f"/prompts/{prompt['_id']}/stats?groupBy=version&annotator=judge&score="
    (found,) = compared(ada, f"{path}errors")
    assert (found["higher"], found["settled"], found["difference"]) == ("b", "a", 2)
    (found,) = compared(ada, f"{path}unknown")
    assert (found["difference"], found["settled"], found["equivalent"]) == (2, None, False)


def test_the_twenty_groups_with_the_most_scores_are_compared(ada: Person) -> None:
    prompt = ada.prompt()
    logs = [
        {"promptId": prompt["_id"], "modelUsed": f"model {number:02}", "score": 5}
        for number in range(21)
        for _ in range(1 if number == 7 else 2)
    ]
    log_all(ada, logs)
    comparisons = compared(ada, f"/prompts/{prompt['_id']}/stats")
    assert len(comparisons) == 190
    assert "model 07" not in {found[side]["model"] for found in comparisons for side in "ab"}
