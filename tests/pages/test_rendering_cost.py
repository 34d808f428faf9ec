"""What a page costs: the statements that it sends to the database, and the bytes that a browser loads for it."""

import gzip
import re

import pytest
from flask import Flask

from tests.support.databases import only_sqlite
from tests.support.people import Person
from tests.support.statements import executed_by_sqlite
from tests.support.visitors import Visitor, home_of

pytestmark = only_sqlite
_WEIGHT_MAX = 60 * 1024  # compressed, with scripts and styles
# Of each page, one authenticates, and one is for its frame: the account and its workspaces
_MOST = {
    "": 11,
    "/prompts": 13,
    "/prompts/{prompt}": 9,
    "/outputs": 5,
    "/outputs/{log}": 10,
    "/review?raters=2": 17,
    "/statistics": 11,
    "/statistics?promptId={prompt}": 17,
    "/experiments": 4,
    "/runs": 3,
    "/settings/team": 6,
    "/settings/keys": 4,
    "/settings/audit": 6,
}


def _fill(ada: Person, prompts: int, logs: int) -> dict[str, str]:
    """Store some prompts and so many outputs of each; return the ids of the last ones."""
    ids = {}
    for number in range(prompts):
        prompt = ada.prompt(title=f"Prompt {number}", tags=[f"tag {number}"], model=f"m{number}")
        ids["prompt"] = prompt["_id"]
        body = {"promptId": prompt["_id"], "output": "An output " * 40, "modelUsed": "m", "input": "Why? " * 40}
        sent = [{**body, "score": n % 11} if n % 3 else body for n in range(logs)]
        ids["log"] = ada.post("/logs/batch", {"logs": sent}).json["results"][-1]["_id"]
        ada.post("/experiments", {"slug": f"e{number}", "name": "Exp", "variants": [{"key": "A", "trafficPercent": 1}]})
    return ids


@pytest.mark.parametrize("page", _MOST)
def test_a_page_sends_few_statements_however_many_rows_it_shows(app: Flask, ada: Person, page: str) -> None:
    visitor, home, counts = Visitor(app, ada), home_of(ada), []
    for rows in (1, 4):
        ids = _fill(ada, rows, rows * 3)
        visitor.get(home + page.format(**ids))
        with executed_by_sqlite(app) as executed:
            assert visitor.get(home + page.format(**ids)).status_code == 200
        seen = [each for each in executed if each.startswith(("SELECT", "WITH"))]
        assert {each.split()[0] for each in executed} <= {"SELECT", "WITH", "BEGIN", "ROLLBACK"}
        counts.append(len(seen))
    assert counts[1] <= _MOST[page], [statement[:100] for statement in seen]
    assert counts[1] - counts[0] <= 1, "one for each row"


def test_a_page_weighs_little_with_all_that_it_loads(app: Flask, ada: Person) -> None:
    ids = _fill(ada, 10, 60)
    visitor, home = Visitor(app, ada), home_of(ada)
    weights = {}
    for page in _MOST:
        answer = visitor.get(home + page.format(**ids))
        links = set(re.findall('(?:src|href)="(/static/[^"]+)"', answer.text))
        assert len(links) >= 4
        weight = len(gzip.compress(answer.data))
        for link in links:
            file = visitor.client.get(link, buffered=True)
            assert file.headers["Cache-Control"] == "public, max-age=31536000, immutable", link
            weight += len(gzip.compress(file.data))
        weights[page] = weight
    assert max(weights.values()) <= _WEIGHT_MAX, weights


def test_files_of_pages_are_sent_compressed(app: Flask, ada: Person) -> None:
    page = Visitor(app, ada).get("/prompts", headers={"Accept-Encoding": "gzip"})
    assert page.headers["Content-Encoding"] == "gzip"
    text = gzip.decompress(page.data).decode()
    for link in re.findall('(?:src|href)="(/static/[^"]+[.](?:js|css))"', text):
        answer = app.test_client().get(link, headers={"Accept-Encoding": "gzip"}, buffered=True)
        assert answer.headers["Content-Encoding"] == "gzip", link
