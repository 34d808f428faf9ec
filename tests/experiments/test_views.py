"""The routes under /experiments."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.databases import only_sqlite
from tests.support.members import share
from tests.support.people import Answer, Caller, Person

A = {"key": "A", "payload": {"prompt": "Hello", "temperature": 0.5}, "trafficPercent": 50}
B = {"key": "B", "trafficPercent": 50}
EXPERIMENT = {"slug": "greeting", "name": "Which greeting", "variants": [A, B]}
MakeExperiment = Callable[..., dict[str, Any]]


@pytest.fixture
def make(ada: Person) -> MakeExperiment:
    """Make an experiment of Ada's and return it."""

    def make(**values: Any) -> dict[str, Any]:
        answer = ada.post("/experiments", {**EXPERIMENT, "status": "ACTIVE", **values})
        assert answer.status_code == 201, answer.text
        return dict(answer.json)

    return make


def report(caller: Caller, key: str = "A", slug: str = "greeting", **values: Any) -> Answer:
    return caller.post(f"/experiment/{slug}/log", {"variantKey": key, **values})


def test_a_new_experiment_is_returned_completely_and_is_a_draft(ada: Person) -> None:
    answer = ada.post("/experiments", EXPERIMENT)
    assert answer.status_code == 201
    experiment = answer.json
    assert experiment == {
        "_id": experiment["_id"],
        "slug": "greeting",
        "name": "Which greeting",
        "status": "DRAFT",
        "featureSlug": None,
        "variants": [{**A, "promptId": None}, {**B, "payload": {}, "promptId": None}],
        "createdAt": experiment["createdAt"],
        "updatedAt": experiment["createdAt"],
    }
    assert answer.headers["Location"] == "/experiments/greeting"
    assert ada.get("/experiments/greeting").json == experiment
    assert ada.get("/experiments").json == [experiment]


def test_lists_are_newest_first_and_in_pages(ada: Person, make: MakeExperiment) -> None:
    slugs = [make(slug=f"e{number}")["slug"] for number in range(3)]
    assert [found["slug"] for found in ada.get("/experiments").json] == slugs[::-1]
    page = ada.get("/experiments?per_page=2")
    assert [found["slug"] for found in page.json] == slugs[:0:-1]
    following = page.headers["Link"].split("localhost")[1].split(">")[0]
    assert [found["slug"] for found in ada.get(following).json] == slugs[:1]


@only_sqlite
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slug": None}, "slug is required"),
        ({"slug": "a b"}, "slug must consist of 1 to 120 letters, digits, `-`, `.`, `_` and `~` and begin with"),
        ({"slug": "x" * 121}, "slug must consist of 1 to 120"),
        ({"slug": ".."}, "slug must consist of 1 to 120"),
        ({"name": " "}, "name must not be blank."),
        ({"name": "\u2800"}, "name must not be blank."),
        ({"status": "active"}, "status must be one of DRAFT, ACTIVE, PAUSED, COMPLETED."),
        ({"variants": None}, "variants is required"),
        ({"variants": []}, "variants must have 1 to 100 entries."),
        ({"variants": {}}, "variants must be an array of objects."),
        ({"variants": ["A"]}, "variants.0 must be an object."),
        ({"variants": [None]}, "variants.0 must be an object."),
        ({"variants": [A, {**A}]}, "variants must not have the key A twice."),
        ({"variants": [{"trafficPercent": 5}]}, "variants.0.key is required"),
        ({"variants": [A, {"key": "B"}]}, "variants.1.trafficPercent is required"),
        (
            {"variants": [{**A, "trafficPercent": 101}]},
            "variants.0.trafficPercent must be a whole number from 0 to 100.",
        ),
        (
            {"variants": [{**A, "trafficPercent": 0.5}]},
            "variants.0.trafficPercent must be a whole number from 0 to 100.",
        ),
        ({"variants": [{**A, "payload": "x"}]}, "variants.0.payload must be an object."),
        ({"variants": [{**A, "promptId": 5}]}, "variants.0.promptId must be a string."),
        ({"variants": [A, {**B, "promptVersion": 1}]}, "variants.1.promptVersion needs promptId beside it."),
        (
            {"variants": [{**A, "promptId": "p", "promptVersion": 0}]},
            "variants.0.promptVersion must be a whole number from 1 to 2147483647, a label or latest.",
        ),
    ],
)
def test_a_bad_field_is_named_with_its_rule(ada: Person, change: dict[str, Any], message: str) -> None:
    answer = ada.post("/experiments", {**EXPERIMENT, **change})
    assert answer.status_code == 400
    assert answer.json["message"].startswith(message)
    assert ada.get("/experiments").json == []


def test_a_slug_is_unique_for_each_owner(ada: Person, ben: Person, make: MakeExperiment) -> None:
    make()
    again = ada.post("/experiments", EXPERIMENT)
    assert (again.status_code, again.json["message"]) == (409, "Slug already in use.")
    assert ben.post("/experiments", EXPERIMENT).status_code == 201


def test_resources_of_other_accounts_are_404(ada: Person, ben: Person, make: MakeExperiment) -> None:
    make()
    report(ada)
    for answer in (
        ben.get("/experiments/greeting"),
        ben.patch("/experiments/greeting", {"name": "mine"}),
        ben.delete("/experiments/greeting"),
        ben.get("/experiments/greeting/logs"),
        ben.get("/experiments/greeting/results"),
        report(ben),
        ben.post("/experiment/greeting/assign", {"userId": "u"}),
    ):
        assert (answer.status_code, answer.json["message"]) == (404, "Experiment not found")
    assert ben.get("/experiments").json == []
    assert ada.get("/experiments/greeting").json["name"] == "Which greeting"


@pytest.mark.parametrize(("whose", "status"), [("ada", 201), ("ben", 403), ("nobody", 404), ("malformed", 404)])
def test_a_variant_may_only_name_a_prompt_of_the_caller(ada: Person, ben: Person, whose: str, status: int) -> None:
    prompts = {"ada": ada.prompt()["_id"], "ben": ben.prompt()["_id"], "nobody": "prompt_1", "malformed": "x y"}
    variants = [{**A, "promptId": prompts[whose]}]
    answer = ada.post("/experiments", {**EXPERIMENT, "variants": variants})
    assert answer.status_code == status
    ada.post("/experiments", {**EXPERIMENT, "slug": "other"})
    assert ada.patch("/experiments/other", {"variants": variants}).status_code == (200 if status == 201 else status)


def test_a_variant_may_pin_a_version_of_its_prompt(ada: Person) -> None:
    prompt = ada.prompt(model="first")["_id"]
    ada.patch(f"/prompts/{prompt}", {"model": "second"})
    ada.put(f"/prompts/{prompt}/labels/production", {"version": 1})

    def variants(*versions: Any) -> list[dict[str, Any]]:
        shares = {"trafficPercent": 1, "promptId": prompt}
        return [{"key": f"v{place}", **shares, "promptVersion": version} for place, version in enumerate(versions)]

    made = ada.post("/experiments", {**EXPERIMENT, "variants": variants(1, "production", "latest", None)}).json
    assert [variant.get("promptVersion") for variant in made["variants"]] == [1, 1, 2, None]
    assert "promptVersion" not in made["variants"][3], "as before there were versions"
    ada.put(f"/prompts/{prompt}/labels/production", {"version": 2})
    ada.patch(f"/prompts/{prompt}", {"model": "third"})
    assert ada.get("/experiments/greeting").json == made
    for place in range(4):
        report(ada, f"v{place}")
    logs = ada.get("/logs").json[::-1]
    assert [log["promptVersion"] for log in logs] == [1, 1, 2, 3]
    assert [log["modelUsed"] for log in logs] == ["first", "first", "second", "third"]

    changed = ada.patch("/experiments/greeting", {"variants": variants("production", 1, None, 3)}).json
    assert [variant.get("promptVersion") for variant in changed["variants"]] == [2, 1, None, 3]
    (entry,) = ada.get(f"/workspaces/{ada.get('/workspaces').json[0]['_id']}/audit?action=experiment.change").json
    pins = [[variant.get("promptVersion") for variant in entry[side]["variants"]] for side in ("before", "after")]
    assert pins == [[1, 1, 2, None], [2, 1, None, 3]]

    refused = ada.patch("/experiments/greeting", {"variants": variants(1, 4, "staging", None)})
    assert (refused.status_code, refused.json["details"]) == (
        400,
        {
            "variants.1.promptVersion": ["must be a version of the prompt; the latest is 3"],
            "variants.2.promptVersion": [
                "must be a version of the prompt, which has no label staging; the latest is 3"
            ],
        },
    )
    assert ada.get("/experiments/greeting").json == changed, "nothing of it is stored"
    ada.delete(f"/prompts/{prompt}")
    left = ada.get("/experiments/greeting").json["variants"]
    assert [(variant["promptId"], variant.get("promptVersion")) for variant in left] == [(None, None)] * 4


def test_a_patch_changes_what_it_names(ada: Person, make: MakeExperiment) -> None:
    made = make()
    changed = ada.patch("/experiments/greeting", {"status": "PAUSED", "name": None, "slug": "ignored"}).json
    assert changed == {**made, "status": "PAUSED", "updatedAt": changed["updatedAt"]}
    assert ada.patch("/experiments/greeting", {}).json == changed
    swapped = [{"key": "C", "trafficPercent": 1}, {**A, "trafficPercent": 9}]
    replaced = ada.patch("/experiments/greeting", {"variants": swapped}).json["variants"]
    assert [(variant["key"], variant["trafficPercent"]) for variant in replaced] == [("C", 1), ("A", 9)]
    assert ada.get("/experiments/greeting").json["variants"] == replaced


def test_a_variant_that_has_results_cannot_be_removed(ada: Person, make: MakeExperiment) -> None:
    made = make()
    report(ada, "A")
    refused = ada.patch("/experiments/greeting", {"name": "Other", "variants": [B]})
    assert (refused.status_code, refused.json["code"]) == (409, "variant_has_results")
    assert ada.get("/experiments/greeting").json == made, "nothing of it is stored"
    assert ada.patch("/experiments/greeting", {"variants": [A]}).status_code == 200


def test_results_are_deleted_with_their_experiment(ada: Person, make: MakeExperiment) -> None:
    make()
    log_id = report(ada).json["logId"]
    kept = ada.log(ada.prompt())
    assert ada.delete("/experiments/greeting").status_code == 204
    assert ada.get(f"/logs/{log_id}").status_code == 404
    assert ada.get("/logs").json == [kept]
    assert ada.get("/experiments/greeting").status_code == 404


def test_results_are_listed_as_they_were_sent(ada: Person, make: MakeExperiment) -> None:
    make()
    sent: dict[str, Any] = {
        "input": {"q": [1, 2.5, None]},
        "output": {"z": 1, "a": "é"},
        "metrics": {"m": 1},
        "context": {"s": {}},
    }
    full, bare = report(ada, "A", **sent).json["logId"], report(ada, "B").json["logId"]
    listed = ada.get("/experiments/greeting/logs").json
    nothing = dict.fromkeys(sent)
    assert [{**found, "createdAt": ""} for found in listed] == [
        {"_id": bare, "variantKey": "B", **nothing, "createdAt": ""},
        {"_id": full, "variantKey": "A", **sent, "createdAt": ""},
    ]
    assert list(listed[1]["output"]) == ["z", "a"]
    assert [found["_id"] for found in ada.get("/experiments/greeting/logs?variantKey=A").json] == [full]
    assert ada.get("/experiments/greeting/logs?variantKey=C").json == []
    page = ada.get("/experiments/greeting/logs?variantKey=B&per_page=1")
    assert [found["_id"] for found in page.json] == [bare]
    assert "Link" not in page.headers


def test_results_summarize_and_compare_the_variants(ada: Person, make: MakeExperiment) -> None:
    make(variants=[{**A, "trafficPercent": 1}, {**B, "trafficPercent": 3}, {"key": "C", "trafficPercent": 0}])
    source = random.Random(4)
    for _ in range(40):
        report(ada, "A", metrics={"rating": source.choice([1, 2]), "note": "x"})
        report(ada, "B", metrics={"rating": source.choice([4, 5])})
    report(ada, "B")
    shown = ada.get("/experiments/greeting/results").json
    assert (shown["slug"], shown["status"], shown["method"]["alpha"]) == ("greeting", "ACTIVE", 0.05)
    a, b, c = shown["variants"]
    assert [(v["key"], v["share"], v["count"]) for v in (a, b, c)] == [("A", 0.25, 40), ("B", 0.75, 41), ("C", 0, 0)]
    assert set(a["metrics"]) == {"rating"}
    assert a["metrics"]["rating"]["count"] == b["metrics"]["rating"]["count"] == 40
    assert (b["metrics"]["rating"]["min"], b["metrics"]["rating"]["max"], c["metrics"]) == (4, 5, {})
    assert [(pair["baseline"], pair["variant"]) for pair in shown["comparisons"]] == [("A", "B"), ("A", "C")]
    rating = shown["comparisons"][0]["metrics"]["rating"]
    assert (rating["settled"], rating["verdict"]) == (True, "B is higher than A")
    low, high = rating["interval95"]
    assert 0 < low < rating["difference"] < high
    assert shown["comparisons"][1]["metrics"] == {}


def test_scores_of_the_results_count_as_a_metric_whenever_they_arrive(ada: Person, make: MakeExperiment) -> None:
    make()
    logs = [report(ada, key, metrics={"depth": 5, "ms": 3}).json["logId"] for key in "AAB"]

    def score(log: int, value: Any, name: str = "depth", **keys: Any) -> None:
        body = {"name": name, "value": value, "annotator": "human", **keys}
        assert ada.post(f"/logs/{logs[log]}/scores", body).status_code in (200, 201)

    def shown(query: str, metric: str = "depth") -> list[tuple[int, float] | None]:
        """Return count and mean of the metric under A and under B."""
        found = [
            variant["metrics"].get(metric)
            for variant in ada.get(f"/experiments/greeting/results{query}").json["variants"]
        ]
        return [each and (each["count"], each["mean"]) for each in found]

    as_sent = ada.get("/experiments/greeting/results").json
    assert shown("") == [(2, 5), (1, 5)]
    assert shown("?metric=depth") == [None, None], "what was sent under the name of the scores is left out"
    score(0, 2)
    score(0, 4, identifier="again")  # of the same rater, who counts once
    score(1, 9)
    score(1, 8)  # replaces the one before
    score(2, 7)
    score(0, 1, annotator="judge")
    score(0, 100, annotator="judge", identifier="other")
    score(0, True)
    score(0, 2)
    score(1, True, identifier="a boolean")
    score(1, "good", identifier="a category")
    score(1, 1e300, identifier="too large")
    assert shown("?metric=depth") == [(2, 5.5), (1, 7)] == shown("?metric=depth&annotator=human")
    assert shown("?metric=depth&annotator=judge") == [(1, 50.5), None]
    assert shown("?metric=depth", "ms") == [(2, 3), (1, 3)], "beside the metrics that were sent"
    assert ada.get("/experiments/greeting/results").json == as_sent

    score(0, True, "polite")
    score(1, False, "polite")
    score(2, "rude", "polite")
    assert shown("?metric=polite", "polite") == [(2, 0.5), None]
    for log, value in enumerate((3, 10, 6)):
        assert ada.patch(f"/logs/{logs[log]}", {"score": value}).status_code == 200
    assert shown("?metric=score", "score") == [(2, 6.5), (1, 6)]
    answer = ada.get("/experiments/greeting/results?metric=score").json
    assert answer["scoreMetric"] == {"name": "score", "annotator": "human"}
    (compared,) = answer["comparisons"]
    assert (compared["metrics"]["score"]["difference"], compared["metrics"]["score"]["settled"]) == (-0.5, False)
    ada.delete(f"/logs/{logs[2]}")
    assert shown("?metric=score", "score") == [(2, 6.5), None]


@pytest.mark.parametrize("annotator", ["human", "enduser", "judge", "code"])
def test_scores_are_averaged_over_the_same_raters_as_in_statistics(
    ada: Person, ben: Person, make: MakeExperiment, annotator: str
) -> None:
    make()
    log_id = report(ada).json["logId"]
    of_ada = share(ada, ben, "editor")
    for person, identifier, value in ((ada, "j1", 1), (ada, "j2", 2), (ben, "j3", 9)):
        body = {"name": "depth", "value": value, "annotator": annotator, "identifier": identifier}
        assert person.post(f"/logs/{log_id}/scores", body, headers=of_ada).status_code == 201
    (group,) = ada.get(f"/stats?score=depth&annotator={annotator}").json["groups"]
    found = ada.get(f"/experiments/greeting/results?metric=depth&annotator={annotator}").json
    assert found["variants"][0]["metrics"]["depth"]["mean"] == group["score"]["mean"]
    assert group["score"]["mean"] == (5.25 if annotator == "human" else 4), "a person is one rater"


@only_sqlite
@pytest.mark.parametrize(
    ("query", "field", "rule"),
    [
        ("metric=5", "metric", "must be a letter and up to 63 letters, digits, blanks, `_`, `.` or `-`"),
        ("metric=a&annotator=me", "annotator", "must be one of human, enduser, judge, code"),
        ("annotator=judge", "annotator", "needs metric beside it"),
        ("metric=a&metric=b", "metric", "must be given once"),
        ("score=a", "score", "is not a parameter"),
    ],
)
def test_a_bad_parameter_of_the_results_is_named(
    ada: Person, make: MakeExperiment, query: str, field: str, rule: str
) -> None:
    make()
    answer = ada.get(f"/experiments/greeting/results?{query}")
    assert answer.status_code == 400
    (reason,) = answer.json["details"][field]
    assert rule in reason


def test_names_of_metrics_that_are_made_of_ids_are_counted_and_not_shown(ada: Person, make: MakeExperiment) -> None:
    make()
    for number in range(3):
        sent = {f"latency_{number}_{each}": each for each in range(100)}
        log_id = report(ada, metrics={"rating": 3, **sent}).json["logId"]
    assert ada.post(f"/logs/{log_id}/scores", {"name": "depth", "value": 4}).status_code == 201
    for query, count in (("", 200), ("?metric=depth", 201)):
        shown = ada.get(f"/experiments/greeting/results{query}").json
        metrics = shown["variants"][0]["metrics"]
        assert (len(metrics), shown["otherMetrics"]) == (count, 101)
        assert metrics["rating"]["count"] == 3
        assert {"latency_0_0", "latency_1_98"} < metrics.keys()
    assert metrics["depth"]["mean"] == 4


def test_an_experiment_without_results_has_empty_results(ada: Person, make: MakeExperiment) -> None:
    make(variants=[{**A, "trafficPercent": 0}])
    shown = ada.get("/experiments/greeting/results").json
    assert shown["variants"] == [{"key": "A", "share": None, "count": 0, "metrics": {}}]
    assert shown["comparisons"] == []
