"""Pages of lists: every row is on exactly one page, whatever its time."""

from typing import Any

import pytest

from tests.support.people import Person
from tests.support.transfer import counts, import_file

# In order; the index of words treats those from the third last on as equal
TIMES = [
    "1969-12-31T00:00:00.000Z",
    "1969-12-31T23:59:59.999Z",
    "1970-01-01T00:00:00.000Z",
    "1970-01-01T00:00:00.001Z",
    "2024-06-20T13:10:00.000Z",
    "2109-05-15T07:35:11.102Z",
    "2109-05-15T07:35:11.104Z",
    "5138-11-16T09:46:40.000Z",
    "9999-12-31T23:59:59.999Z",
]
ORDERS = ("-createdAt", "createdAt", "-score", "score")


def lines() -> list[dict[str, Any]]:
    """Return an export with one thing of each kind for each time."""
    by_kind: dict[str, list[dict[str, Any]]] = {"prompt": [], "experiment": [], "trace": [], "log": []}
    for number, time in enumerate(TIMES):
        created, times = {"createdAt": time}, {"createdAt": time, "updatedAt": time}
        prompt = {
            "type": "prompt",
            "_id": f"prompt{number}",
            "slug": f"p{number}",
            "title": "a word",
            "tags": [],
            **times,
        }
        version = {"promptId": f"prompt{number}", "version": 1, "content": "c", "model": "m", "labels": [], **created}
        by_kind["prompt"] += [prompt, {"type": "version", **version}]
        experiment = {"_id": f"experiment{number}", "slug": f"e{number}", "name": "n", "status": "DRAFT", **times}
        variant = {"key": "A", "payload": {}, "trafficPercent": 1}
        by_kind["experiment"].append({"type": "experiment", **experiment, "variants": [variant]})
        trace = {"_id": f"trace{number}", "source": "basalt", "slug": "f", **created}
        by_kind["trace"].append({"type": "trace", **trace})
        log = {"_id": f"log{number}", "promptId": "prompt0", "promptVersion": 1, "modelUsed": "m", "output": "a word"}
        score = {} if number % 3 == 0 else {"score": [0, 10, 5e-324][number % 3 - 1]}
        by_kind["log"].append({"type": "log", **log, **score, "startTime": time, **times})
        result = {"_id": f"result{number}", "source": "agenttest", "experimentId": "experiment0", "variantKey": "A"}
        by_kind["log"].append({"type": "log", **result, "_id": f"log1{number}", **times})
    header = {"type": "export", "format": "promptcrafter", "version": 1}
    return [header, *(line for kind in by_kind.values() for line in kind), {"type": "end"}]


def read_pages(person: Person, path: str) -> list[str]:
    """Return the ids in a list, read one row a page."""
    ids: list[str] = []
    following = f"{path}{'&' if '?' in path else '?'}per_page=1"
    while following:
        page = person.get(following)
        assert (page.status_code, len(page.json)) == (200, 1), (following, page.text)
        ids += [row["_id"] for row in page.json]
        assert len(ids) < 100
        following = page.headers.get("Link", "").partition(">")[0].removeprefix("<http://localhost")
    return ids


def test_every_time_that_an_import_keeps_has_a_cursor(ada: Person, subtests: pytest.Subtests) -> None:
    number = len(TIMES)
    assert counts(import_file(ada, lines()), "created") == (number, number, number, number, 2 * number)
    for path in (
        *("/prompts", "/experiments", "/traces", "/experiments/e0/logs", "/logs-by-prompt?promptId=prompt0"),
        *(f"/logs?sort={order}" for order in ORDERS),
        *(f"/logs?q=word&sort={order}" for order in ORDERS),
        *("/search?q=word", "/search?q=a+word"),
    ):
        with subtests.test(path=path):
            ids = read_pages(ada, path)
            assert ids == [row["_id"] for row in ada.get(path).json]
            assert len(set(ids)) == len(ids) == number * (1 + path.startswith("/logs?sort"))
    assert [row["createdAt"] for row in ada.get("/prompts").json] == TIMES[::-1]
    for bound, found in (("until", TIMES[:-1]), ("since", TIMES[-1:])):
        path = f"/logs?q=word&sort=createdAt&{bound}={TIMES[-1]}"
        assert [row["createdAt"] for row in ada.get(path).json] == found


@pytest.mark.parametrize(
    "time",
    [
        *("1969-12-30T23:59:59.999Z", "1969-07-20", "0001-01-01", "0001-01-01T00:00:00+14:00", "0000-01-01"),
        *("9999-12-31T23:59:59-00:01", "9999-12-31T23:59:60Z", "10000-01-01", -1, 253_402_300_800_000, 1e300, True),
    ],
)
def test_a_time_that_no_list_can_show_is_refused_with_its_line(ada: Person, time: Any) -> None:
    lines_with_time = [{**line, "createdAt": time} if line["type"] == "log" else line for line in lines()]
    answer = import_file(ada, lines_with_time)
    line = 1 + next(index for index, line in enumerate(lines_with_time) if line["type"] == "log")
    expected = {f"line {line}.createdAt": ["must be an ISO 8601 time or a Unix time"]}
    assert (answer.status_code, answer.json["details"]) == (400, expected)


def test_a_cursor_that_no_list_gave_is_a_page_or_refused(ada: Person) -> None:
    ada.log(ada.prompt())
    paths = ("/logs?", "/logs?sort=createdAt&", "/logs?q=output&", "/logs?q=output&sort=createdAt&", "/prompts?")
    for cursor in ("m99999999999999-1", "299999999999999-999999999999999999", "0-0", "m1-1", "m0-1"):
        for path in (*paths, "/search?q=content&"):
            whole = f"9-{cursor}" if path.startswith("/search") else cursor
            assert ada.get(f"{path}cursor={whole}").status_code == 200
        assert ada.get(f"/logs?sort=score&cursor={'9' * 19}-{cursor}").status_code == 200
    for cursor in (
        "-1-1",
        "mm1-1",
        "1m-1",
        "1-m1",
        "1-",
        "-1",
        "1",
        "1-1-1",
        "300000000000000-1",
        "m100000000000000-1",
    ):
        for path in ("/logs?", "/prompts?", "/traces?"):
            assert list(ada.get(f"{path}cursor={cursor}").json["details"]) == ["cursor"]
