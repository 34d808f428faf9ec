"""The frame of all pages, and links that are not made anew for each row and each page."""

import re

from flask import Flask, g, url_for

from promptcrafter.pages.rendering import place, row_links
from tests.support.databases import only_sqlite
from tests.support.people import Person
from tests.support.visitors import Visitor

_LOG = "log_01m8n7qz8ywq5hjmdd1m5k32v9"


@only_sqlite
def test_links_to_rows_are_those_that_flask_makes(app: Flask) -> None:
    cases: list[tuple[str, str, dict[str, object]]] = [
        ("prompt.show_prompt", "prompt_id", {}),
        ("outputs.show_output", "log_id", {"q": ["ID? & ID", "Ä"], "log_id_of": "ID"}),
        ("runs.show_run", "trace_id", {"name": "a/b"}),
    ]
    for root in ("", "/ID/below"):
        for workspace in ("acme", "id"):
            with app.test_request_context(f"/app/w/{workspace}", environ_overrides={"SCRIPT_NAME": root}):
                g.workspace_of_page = workspace
                for endpoint, name, values in cases:
                    expected = url_for(endpoint, **{**values, name: _LOG})  # type: ignore[arg-type]
                    assert row_links(endpoint, name, **values)(_LOG) == expected
                    assert expected.startswith(f"{root}/app/w/{workspace}/")


@only_sqlite
def test_links_of_the_frame_are_those_that_flask_makes_for_each_workspace_and_prefix(app: Flask) -> None:
    for root in ("", "/below", ""):
        for workspace in ("acme", "other"):
            with app.test_request_context(f"/app/w/{workspace}", environ_overrides={"SCRIPT_NAME": root}):
                g.workspace_of_page = workspace
                for endpoint in ("home.show_home", "prompts_page.list_prompts", "home.find_home", "sign_in.sign_out"):
                    assert place(endpoint) == url_for(endpoint)


def test_a_page_shows_the_account_and_its_workspaces_with_the_personal_one_first(app: Flask, ada: Person) -> None:
    slugs = [ada.post("/workspaces", {"name": name}).json["slug"] for name in ("Beta", "Alpha")]
    visitor, own = Visitor(app, ada), f"/app/w/personal-{ada.id.removeprefix('user_')}"
    team = f"/app/w/{slugs[1]}"
    for path in (own, team):
        choices = visitor.get(path).text.split('aria-label="Workspaces"')[1].split("</nav>")[0]
        links = re.findall(r'href="([^"]+)"( aria-current="true")?', choices)
        assert [link for link, _ in links[:3]] == [own, *(f"/app/w/{slug}" for slug in slugs)]
        assert [link for link, is_current in links if is_current] == [path]
    assert ada.delete(f"/workspaces/{slugs[0]}?confirm={slugs[0]}").status_code == 204
    assert f'href="/app/w/{slugs[0]}"' not in visitor.get(own).text


@only_sqlite
def test_the_navigation_marks_where_a_page_belongs_whatever_its_path_is(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    logs = "&".join(f"log={ada.log(prompt)['_id']}" for _ in range(2))
    visitor = Visitor(app, ada)
    for path, name in (("/experiment/new", "Experiments"), (f"/compare?{logs}", "Outputs"), ("", "Home")):
        navigation = visitor.get(path).text.partition('<nav aria-label="Main">')[2].partition("</nav>")[0]
        assert re.findall(r'aria-current="page">.*?</svg>(\w+)</a>', navigation, re.DOTALL) == [name]
