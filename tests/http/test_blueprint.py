"""The rules of routes build URLs."""

from flask import Flask
from werkzeug.routing import Map, Rule

from tests.support.databases import only_sqlite


@only_sqlite
def test_a_rule_builds_its_urls_as_werkzeugs_does(app: Flask) -> None:
    rules = list(app.url_map.iter_rules())
    plain = [Rule(rule.rule, endpoint=rule.endpoint, methods=rule.methods) for rule in rules]
    theirs = Map(plain, converters=app.url_map.converters, merge_slashes=False).bind("localhost")
    ours = app.url_map.bind("localhost")
    assert {type(rule) for rule in rules} != {Rule}
    for rule in rules:
        for further in ({}, {"q": "a b", "page": ["1", "2"]}, {}):
            values = {**dict.fromkeys(rule.arguments, "a b%é"), **further}
            assert ours.build(rule.endpoint, values) == theirs.build(rule.endpoint, values)
