"""The settings of scores: what those of a name must be."""

from flask import Flask

from tests.support.members import share
from tests.support.people import Person
from tests.support.visitors import Visitor, home_of, text_of


def test_what_scores_must_be_is_set_shown_changed_and_archived(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    fields = {"name": "tone", "kind": "number", "min": "1", "max": "5", "categories": "", "direction": "up"}
    page = visitor.follow(visitor.submit("/settings/scores", {**fields, "description": "How kind it is"}))
    assert "a number from 1 to 5 higher is better How kind it is" in text_of(page)
    config = ada.get("/score-configs").json[0]
    assert (config["name"], config["min"], config["max"]) == ("tone", 1, 5)
    page = visitor.get("/settings/scores?edit=tone")
    assert ("Change tone" in text_of(page), 'value="5"' in page.text) == (True, True)
    category = {"name": "tone", "kind": "category", "categories": "kind\r\n\r\n curt ", "direction": "none"}
    assert "kind curt neither is better" in text_of(visitor.follow(visitor.submit("/settings/scores", category)))
    visitor.follow(visitor.submit("/settings/scores/archive", {"name": "tone"}))
    assert ada.get("/score-configs").json == []
    assert visitor.submit("/settings/scores/archive", {"name": "tone"}).status_code == 404


def test_settings_that_are_refused_say_why_beside_their_field(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    fields = {"name": "tone", "kind": "number", "direction": "up"}
    for wrong, field in (
        ({"name": "9"}, "name"),
        ({"name": ""}, "name"),
        ({"min": "x"}, "min"),
        ({"min": "nan"}, "min"),
        ({"min": "5", "max": "1"}, "max"),
        ({"categories": "a\na"}, "categories"),
        ({"kind": "category", "categories": ""}, "categories"),
        ({"kind": "category", "categories": f"a\n{'b' * 65}", "direction": "none"}, "categories"),
        ({"kind": "category", "categories": "a"}, "direction"),
        ({"name": "score", "min": "1", "max": "5"}, "min"),
    ):
        refused = visitor.submit("/settings/scores", {**fields, **wrong, "description": "kept"})
        assert (refused.status_code, f'id="{field}-error"' in refused.text) == (400, True), wrong
        assert 'value="kept"' in refused.text
    assert ada.get("/score-configs").json == []


def test_a_viewer_sees_them_and_changes_nothing(app: Flask, ada: Person, ben: Person) -> None:
    ada.put("/score-configs/tone", {"kind": "boolean"})
    share(ada, ben, "viewer")
    visitor, home = Visitor(app, ben), home_of(ada)
    page = visitor.get(f"{home}/settings/scores")
    assert ("yes or no" in text_of(page), "/settings/scores/archive" in page.text) == (True, False)
    assert 'id="config"' not in page.text
    assert visitor.submit(f"{home}/settings/scores", {"name": "tone", "kind": "number"}).status_code == 403
    assert visitor.submit(f"{home}/settings/scores/archive", {"name": "tone"}).status_code == 403
    share(ada, ben, "editor")
    assert visitor.submit(f"{home}/settings/scores", {"name": "pace", "kind": "number"}).status_code == 303
