"""The pages of experiments: their results in words and on a line that shows zero, started and paused."""

from typing import Any

from flask import Flask

from tests.support.people import Person
from tests.support.visitors import Visitor, text_of


def test_an_experiment_is_listed_shown_and_paused(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    assert "No experiments yet" in text_of(visitor.get("/experiments"))
    variants: list[dict[str, Any]] = [{"key": key, "trafficPercent": 50, "payload": {}} for key in ("control", "short")]
    ada.post("/experiments", {"name": "Shorter", "slug": "shorter", "status": "ACTIVE", "variants": variants})
    assert "Nothing to compare yet" in text_of(visitor.get("/experiments/shorter"))
    for number in range(40):
        for key, base in (("control", 3), ("short", 9)):
            body = {"variantKey": key, "metrics": {"rating": base + number % 2}}
            assert ada.post("/experiment/shorter/log", body).status_code == 200
    page = visitor.get("/experiments/shorter")
    assert "short against control: short is higher than control" in text_of(page)
    assert '<svg class="chart"' in page.text
    assert "Shorter" in text_of(visitor.get(""))
    assert visitor.submit("/experiments/shorter/status", {"status": "PAUSED"}).status_code == 303
    assert ada.get("/experiments/shorter").json["status"] == "PAUSED"
    assert visitor.submit("/experiments/shorter/status", {"status": "nonsense"}).status_code == 400
