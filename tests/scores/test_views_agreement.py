"""The agreement of raters over HTTP."""

import json
from typing import Any

import pytest

from promptcrafter.scores import reviews
from tests.support.members import share
from tests.support.people import Caller, Person


@pytest.fixture
def prompt(ada: Person) -> dict[str, Any]:
    return ada.prompt()


@pytest.fixture
def there(ada: Person, ben: Person) -> Caller:
    """Ben, who scores in ada's workspace."""
    return Caller(ben.client, {**ben.headers, **share(ada, ben, "viewer")})


def give(person: Caller, logs: list[str], values: list[Any], **common: Any) -> None:
    """Give each log the value at its position, unless that is None."""
    scores = [
        {"logId": log_id, "name": "score", "value": value, **common}
        for log_id, value in zip(logs, values, strict=True)
        if value is not None
    ]
    results = person.post("/scores/batch", {"scores": scores}).json["results"]
    assert {result["status"] for result in results} <= {200, 201}, results


def log_many(person: Person, prompt: dict[str, Any], count: int) -> list[str]:
    items = [{"promptId": prompt["_id"], "output": f"output {n}", "modelUsed": "m"} for n in range(count)]
    return [result["_id"] for result in person.post("/logs/batch", {"logs": items}).json["results"]]


def agreement(person: Caller, query: str = "") -> dict[str, Any]:
    answer = person.get(f"/agreement?{query}")
    assert answer.status_code == 200, answer.text
    assert "NaN" not in answer.text
    found: dict[str, Any] = json.loads(answer.text, parse_constant=pytest.fail)
    return found


def test_without_common_logs_no_figure_is_determined(ada: Person, prompt: dict[str, Any]) -> None:
    empty = {
        **{"name": "score", "kind": "number", "otherKinds": [], "metric": "interval", "logs": 0, "scores": 0},
        **{"raters": 0, "fewLogs": True, "equal": None, "alpha": None, "pairs": [], "otherPairs": 0},
        **{"otherRaters": 0, "humanAgainstJudge": None},
    }
    assert agreement(ada) == empty
    logs = log_many(ada, prompt, 2)
    give(ada, logs, [7, 8])
    assert agreement(ada, f"promptId={prompt['_id']}") == empty
    assert agreement(ada, "kind=category") == {
        **empty,
        "kind": "category",
        "metric": "nominal",
        "otherKinds": [NUMBERS],
    }


NUMBERS = {"kind": "number", "scores": 2}


def test_numbers_of_two_people_and_a_judge(ada: Person, ben: Person, there: Caller, prompt: dict[str, Any]) -> None:
    logs = log_many(ada, prompt, 11)
    give(ada, logs, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, None])
    give(there, logs, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, None])
    give(ada, logs, [1, 3, *[None] * 8, 9], annotator="judge", identifier="gpt-4o")
    found = agreement(there, f"promptId={prompt['_id']}")
    assert {name: found[name] for name in ("kind", "metric", "logs", "scores", "raters", "fewLogs", "equal")} == {
        **{"kind": "number", "metric": "interval", "logs": 10, "scores": 22, "raters": 3, "fewLogs": False, "equal": 0}
    }
    assert 0.9 < found["alpha"] < 1
    people = {
        person.id: {"userId": person.id, "name": name, "annotator": "human", "identifier": "", "imported": False}
        for person, name in ((ada, "ada"), (ben, "ben"))
    }
    judge = {**people[ada.id], "annotator": "judge", "identifier": "gpt-4o"}
    first, *others = found["pairs"]
    sides = sorted((first.pop("a"), first.pop("b")), key=lambda rater: str(rater["name"]))
    assert sides == [people[ada.id], people[ben.id]]
    assert first == {"n": 10, "fewLogs": False, "meanAbsoluteDifference": 1, "spearman": 1}
    assert [(pair["n"], pair["fewLogs"], judge in (pair["a"], pair["b"])) for pair in others] == [(2, True, True)] * 2
    assert (found["otherPairs"], found["otherRaters"]) == (0, 0)
    assert found["humanAgainstJudge"] == {
        **{"n": 2, "fewLogs": True, "meanAbsoluteDifference": 1, "spearman": 1, "tiedLogs": 0}
    }, "against the means 0.5 and 1.5 of both people"
    of_people = agreement(ada, "annotator=human")
    assert (of_people["raters"], of_people["humanAgainstJudge"], len(of_people["pairs"])) == (2, None, 1)


def test_one_kind_of_values_is_compared_at_a_time(ada: Person, there: Caller, prompt: dict[str, Any]) -> None:
    logs = log_many(ada, prompt, 4)
    give(ada, logs, [True, True, False, False], name="helps")
    give(there, logs, [True, False, False, False], name="helps")
    give(ada, logs, ["good", None, None, None], name="helps", annotator="judge")
    give(there, logs, [3, 4, None, None], name="helps", annotator="judge")
    found = agreement(ada, "name=helps")
    assert (found["kind"], found["metric"], found["logs"], found["equal"]) == ("boolean", "nominal", 4, 0.75)
    assert found["otherKinds"] == [{"kind": "number", "scores": 2}, {"kind": "category", "scores": 1}]
    (pair,) = found["pairs"]
    assert {name: pair[name] for name in ("n", "fewLogs", "equal", "kappa")} == {
        **{"n": 4, "fewLogs": True, "equal": 0.75, "kappa": 0.5}
    }
    assert "spearman" not in pair
    others = agreement(ada, "name=helps&kind=category")
    assert (others["kind"], others["logs"]) == ("category", 0)
    assert {each["kind"]: each["scores"] for each in others["otherKinds"]} == {"number": 2, "boolean": 8}


def test_a_person_is_one_rater_and_each_judge_and_customer_another(
    ada: Person, there: Caller, prompt: dict[str, Any]
) -> None:
    logs = log_many(ada, prompt, 3)
    give(ada, logs, [6.1, 4, 2])
    give(ada, logs, [6.3, None, None], identifier="again")
    give(there, logs, [6.2, 4, 2])
    found = agreement(ada)
    assert (found["raters"], found["scores"], found["equal"], found["alpha"]) == (2, 6, 1, 1)
    for annotator, raters in (("judge", 2), ("enduser", 4), ("code", 6)):
        for identifier in ("a", "b"):
            give(ada, logs, [1, 2, 3], annotator=annotator, identifier=identifier)
        assert agreement(ada)["raters"] == 2 + raters
    identifiers = {pair[side]["identifier"] for pair in agreement(ada)["pairs"] for side in "ab"}
    assert identifiers == {"", "a", "b"}
    give(ada, logs, ["good", "bad", "bad"], name="tone")
    give(ada, logs, ["bad", "bad", "bad"], name="tone", identifier="again")
    give(there, logs, ["good", "bad", "good"], name="tone")
    tone = agreement(ada, "name=tone")
    assert (tone["logs"], tone["equal"]) == (2, 0.5), "ada has no one opinion of the first log"


def test_filters_choose_the_scores_and_too_many_are_refused(
    ada: Person, there: Caller, prompt: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ada.prompt()
    logs, others = log_many(ada, prompt, 2), log_many(ada, other, 3)
    for person in (ada, there):
        give(person, [*logs, *others], [1, 2, 3, 4, 5])
        give(person, logs, [1e308, 2], name="size")
    ada.delete(f"/logs/{others[2]}")
    first = ada.get("/scores").json[-1]["createdAt"]
    expected = {
        "": 4,
        f"promptId={prompt['_id']}": 2,
        f"promptId={other['_id']}": 2,
        f"promptId={other['_id']}&name=size": 0,
        "name=size": 1,
        f"since={first}": 4,
        f"until={first}": 0,
        "since=2100-01-01": 0,
    }
    assert {query: agreement(ada, query)["logs"] for query in expected} == expected
    assert agreement(ada, "name=size")["alpha"] is None
    monkeypatch.setattr(reviews, "SCORES_MAX", 7)
    assert agreement(ada, "name=size")["logs"] == 1
    for query, what in (("", "scores named score"), (f"promptId={prompt['_id']}&name=size", "scores of this prompt")):
        answer = ada.get(f"/agreement?{query}")
        assert (answer.status_code, answer.json["code"]) == (400, "too_many_to_review")
        assert answer.json["message"] == f"There are more than 7 {what}. Narrow it by promptId, since or until."
