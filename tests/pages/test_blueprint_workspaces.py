"""A page stays in the workspace of its path: what is in another one of the same person is shown there, or not found."""

import re

from flask import Flask

from tests.support.databases import only_sqlite
from tests.support.members import share
from tests.support.otlp import export, make_span
from tests.support.people import Person
from tests.support.routes import page_rules
from tests.support.visitors import Visitor, home_of, text_of

pytestmark = only_sqlite
OF_ACCOUNT = ("key_id", "user_id", "invitation_id")  # ids of no resource of a workspace


def test_every_page_with_an_id_leads_to_the_workspace_of_what_it_names_and_changes_nothing_elsewhere(
    app: Flask, ada: Person, ben: Person
) -> None:
    share(ben, ada, "viewer")  # in the frame of Ben's workspace Ada may only look; she owns what is in her own
    prompt = ada.prompt(title="Of Ada", content="Explain {{topic}}.")
    ada.patch(f"/prompts/{prompt['_id']}", {"content": "Explain {{topic}} well."})
    log = ada.log(prompt)
    assert export(ada, make_span({"gen_ai.operation.name": "invoke_agent"}, name="run")).status_code == 200
    (trace,) = ada.get("/traces").json
    ids = {"prompt_id": prompt["_id"], "log_id": log["_id"], "trace_id": trace["_id"]}
    queries = {"prompt.show_diff": "?before=1&after=2", "prompt_form.ask_to_restore": "?version=1"}
    visitor, seen = Visitor(app, ada), 0
    for rule in page_rules(app):
        named = set(rule.arguments) - {"workspace"}
        if not any(name.endswith("_id") for name in named) or named & set(OF_ACCOUNT):
            continue
        path = re.sub("<([a-z_]+)>", lambda match: ids[match[1]], rule.rule.replace("/app/w/<workspace>", ""))
        path += queries.get(rule.endpoint, "")
        if "GET" in (rule.methods or ()):
            answer = visitor.get(home_of(ben) + path)
            assert (answer.status_code, answer.headers.get("Location")) == (303, visitor.home + path), path
            assert visitor.follow(answer).status_code == 200, path
        else:
            form = {"title": "New", "content": "New", "label": "new", "version": "1", "value": "3", "notes": "new"}
            answer = visitor.submit(home_of(ben) + path, form)
            assert answer.status_code in (403, 404), path
            if rule.endpoint in ("prompt.render_prompt", "outputs.score_output"):  # a viewer may do that in Ben's
                assert answer.status_code == 404, path
        seen += 1
    assert seen >= 15
    assert ada.get(f"/prompts/{prompt['_id']}").json["version"] == 2
    assert ada.get(f"/prompts/{prompt['_id']}").json["title"] == "Of Ada"
    assert ada.get(f"/logs/{log['_id']}").json == log
    assert len(ada.get("/traces").json) == 1


def test_an_owner_of_both_workspaces_deletes_nothing_from_the_wrong_one(app: Flask, ada: Person, ben: Person) -> None:
    share(ben, ada, "owner")
    prompt = ada.prompt()
    log = ada.log(prompt)
    visitor = Visitor(app, ada)
    for path, form in (
        (f"/prompts/{prompt['_id']}/delete", {}),
        (f"/prompts/{prompt['_id']}/labels", {"label": "production", "version": "1"}),
        ("/outputs/delete", {"log": log["_id"]}),
        (f"/outputs/{log['_id']}", {"notes": "new"}),
        ("/review?raters=1", {"output": log["_id"], "value": "3"}),
        ("/review/scores", {"account": ada.id, "output": log["_id"], "value": "3"}),
    ):
        answer = visitor.submit(home_of(ben) + path, form)
        assert answer.status_code == 404, path
        assert "not found in this workspace" in text_of(answer), path
    assert ada.get(f"/logs/{log['_id']}").json == log
    assert ada.get(f"/prompts/{prompt['_id']}").json["labels"] == []


def test_pages_that_take_ids_as_parameters_lead_to_their_workspace_unless_they_are_of_several(
    app: Flask, ada: Person, ben: Person
) -> None:
    share(ben, ada, "editor")
    prompt, of_ben = ada.prompt(), ben.prompt()
    first, second = ada.log(prompt), ada.log(prompt)
    other = ben.log(of_ben)
    visitor = Visitor(app, ada)
    two = f"{first['_id']},{second['_id']}"
    for path in (
        f"/compare?logs={two}",
        f"/compare?input={first['_id']}",
        f"/outputs?promptId={prompt['_id']}",
        f"/outputs/delete?log={first['_id']}",
        f"/review?output={first['_id']}",
        f"/review?promptId={prompt['_id']}",
        f"/statistics?promptId={prompt['_id']}",
        f"/prompts/{prompt['_id']}?as=json",
    ):
        answer = visitor.get(home_of(ben) + path)
        assert (answer.status_code, answer.headers.get("Location")) == (303, visitor.home + path), path
        assert visitor.follow(answer).status_code == 200, path
    for path in (f"/compare?logs={first['_id']},{other['_id']}", f"/outputs?promptId={prompt['_id']}&q={other['_id']}"):
        for home in (home_of(ben), visitor.home):
            assert visitor.get(home + path).status_code in (200, 404), path
    asked_by_script = {"Accept": "application/json"}
    answer = visitor.get(f"{home_of(ben)}/outputs/{first['_id']}", headers=asked_by_script)
    assert (answer.status_code, answer.json["code"]) == (404, "log_not_found")


def test_what_is_in_a_workspace_of_others_is_not_found_whether_it_exists_or_not(
    app: Flask, ada: Person, ben: Person
) -> None:
    log = ada.log(ada.prompt())
    visitor = Visitor(app, ben)
    for path in (f"/outputs/{log['_id']}", "/outputs/log_01jz8x4m5n6p7q8r9s0t1v2w3x"):
        answer = visitor.get(path)
        assert answer.status_code == 404
        assert "There is no such output, or it is in a workspace that you are no member of" in text_of(answer)
    for path in (f"/prompts/{log['promptId']}", f"/outputs?promptId={log['promptId']}"):
        assert visitor.get(path).status_code == 404
    assert ben.get(f"/logs/{log['_id']}").status_code == 403, "the API says more"
