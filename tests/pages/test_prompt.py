"""The pages of a prompt: writing, changing, comparing, labelling, restoring, deleting."""

import re

from flask import Flask

from tests.support.members import protect, share
from tests.support.people import Person
from tests.support.visitors import Visitor, fields_of, home_of, text_of

TEXT = {"title": "Explain", "type": "text", "content": "Explain {{topic}}.", "model": "gpt-4o", "tags": "school, fun"}


def test_a_prompt_is_written_changed_labelled_restored_and_deleted(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    page = visitor.follow(visitor.submit("/prompts", TEXT))
    (prompt,) = ada.get("/prompts").json
    assert (prompt["title"], prompt["content"], prompt["tags"]) == ("Explain", "Explain {{topic}}.", ["school", "fun"])
    assert "The prompt is there" in text_of(page)
    one = f"/prompts/{prompt['_id']}"
    assert "The prompt is there" not in text_of(visitor.get(one)), "once"
    changed = {**TEXT, "content": "Explain {{topic}}\r\nsimply.", "comment": "Simpler", "slug": prompt["slug"]}
    page = visitor.follow(visitor.submit(f"{one}/edit", changed))
    assert "Version 2" in text_of(page)
    assert "Simpler" in text_of(page)
    assert ada.get(one).json["content"] == "Explain {{topic}}\nsimply."
    assert "there is no new version" in text_of(visitor.follow(visitor.submit(f"{one}/edit", changed)))
    page = visitor.follow(visitor.submit(f"{one}/labels", {"label": "production", "version": "1"}))
    assert ada.get(f"{one}/versions/production").json["version"] == 1
    diff = visitor.get(f"{one}/diff?before=1&after=2")
    assert "<ins>" in diff.text
    assert "simply</ins>" in diff.text
    asked = visitor.get(f"{one}/restore?version=1")
    assert "Version 3 will be the same as version 1." in text_of(asked)
    assert visitor.submit(f"{one}/restore", {"version": "1", "comment": "x" * 1001}).status_code == 400
    visitor.follow(visitor.submit(f"{one}/restore", {"version": "1", "comment": "It was better"}))
    assert ada.get(one).json["version"] == 3
    assert ada.get(f"{one}/versions/3").json["comment"] == "It was better"
    visitor.follow(visitor.submit(f"{one}/labels", {"label": "production", "remove": "1"}))
    assert ada.get(one).json["labels"] == []
    assert "Delete “Explain”?" in text_of(visitor.get(f"{one}/delete"))
    assert "The prompt is deleted" in text_of(visitor.follow(visitor.submit(f"{one}/delete", {})))
    assert ada.get(one).status_code == 404


def test_a_chat_prompt_is_written_message_by_message(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    sent = {"title": "Chat", "type": "chat", "model": "m", "role": ["system"], "message": ["Be kind."]}
    more = visitor.submit("/prompts", {**sent, "add-message": "1"})
    assert (more.status_code, more.text.count('name="message"')) == (200, 2)
    assert "Be kind." in more.text
    whole = {**sent, "role": ["system", "user", "user"], "message": ["Be kind.", "Hello {{name}}", " "]}
    assert visitor.submit("/prompts", {**whole, "config": '{"temperature": 0.2}'}).status_code == 303
    (prompt,) = ada.get("/prompts").json
    assert prompt["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hello {{name}}"},
    ]
    assert prompt["config"] == {"temperature": 0.2}
    page = text_of(visitor.get(f"/prompts/{prompt['_id']}"))
    assert "Be kind." in page
    assert "Variables: name" in page


def test_a_refused_form_keeps_what_was_written_and_says_what_is_wrong_beside_the_field(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    answer = visitor.submit("/prompts", {**TEXT, "title": "", "slug": "Bad Slug!", "config": "{broken"})
    assert answer.status_code == 400
    for name in ("title", "slug", "config"):
        assert re.search(f'id="{name}-error"', answer.text), name
        assert f'aria-describedby="{name}-error"' in answer.text
    assert "Explain {{topic}}." in answer.text
    assert "{broken" in answer.text
    assert ada.get("/prompts").json == []
    ada.prompt(slug="taken")
    answer = visitor.submit("/prompts", {**TEXT, "slug": "taken"})
    assert answer.status_code == 409
    assert "Explain {{topic}}." in answer.text


def test_a_form_with_more_messages_than_a_prompt_has_is_not_shown_again(app: Flask, ada: Person) -> None:
    visitor, prompt = Visitor(app, ada), ada.prompt()
    for path in ("/prompts", f"/prompts/{prompt['_id']}/edit"):
        sent = {"title": "Long", "model": "m", "type": "chat", "role": ["user"] * 201, "message": ["x"] * 201}
        for button in ({}, {"add-message": "1"}):
            answer = visitor.submit(path, {**sent, **button})
            assert answer.status_code == 400, (path, button)
            assert "Messages must have at most 200 entries" in text_of(answer)
        full = visitor.submit(path, {**sent, "role": ["user"] * 200, "add-message": "1"})
        assert full.text.count('name="role"') == 200


def test_a_change_by_two_people_loses_nothing_of_either(app: Flask, ada: Person, ben: Person) -> None:
    prompt = ada.prompt(title="Shared", content="Explain {{topic}}.")
    one, home = f"/prompts/{prompt['_id']}", home_of(ada)
    workspace = share(ada, ben, "editor")
    visitor = Visitor(app, ada)
    form = fields_of(visitor.get(f"{home}{one}/edit"))
    assert ben.patch(one, {"content": "Explain {{topic}} briefly.", "comment": "Shorter"}, headers=workspace).json
    written = {**form, "content": "Explain {{topic}} kindly.", "comment": "Kinder"}
    refused = visitor.submit(f"{home}{one}/edit", written)
    assert refused.status_code == 409
    page = text_of(refused)
    assert "saved version 2" in page
    assert "after you had opened the form: “<bdi>Shorter</bdi>”" in refused.text
    assert "briefly" in page
    assert "kindly</ins>" in refused.text
    again = fields_of(refused)
    assert (again["content"], again["comment"]) == (written["content"], "Kinder")
    assert ada.get(one).json["version"] == 2
    visitor.follow(visitor.submit(f"{home}{one}/edit", {**again, "content": "Explain {{topic}} briefly and kindly."}))
    assert ada.get(one).json["content"] == "Explain {{topic}} briefly and kindly."
    assert ada.get(f"{one}/versions/2").json["content"] == "Explain {{topic}} briefly."
    form = fields_of(visitor.get(f"{home}{one}/edit"))
    ada.patch(one, {"title": "Another title", "tags": ["new"]})
    refused = visitor.submit(f"{home}{one}/edit", form)
    assert refused.status_code == 409
    assert "were changed after you had opened the form" in text_of(refused)
    assert "title Another title Shared" in text_of(refused)
    assert "tags new" in text_of(refused)
    stale = visitor.submit(f"{home}{one}/edit", {**again, "title": "x"})
    assert stale.status_code == 400, "what is wrong with the form itself comes first"


def test_a_form_that_is_sent_twice_is_saved_once_and_is_no_conflict(app: Flask, ada: Person, ben: Person) -> None:
    prompt = ada.prompt(title="Shared", content="Explain {{topic}}.", tags=["school"])
    one, home = f"/prompts/{prompt['_id']}", home_of(ada)
    share(ada, ben, "editor")
    visitor = Visitor(app, ada)
    form = fields_of(visitor.get(f"{home}{one}/edit"))
    unchanged = visitor.follow(visitor.submit(f"{home}{one}/edit", form))
    assert "no new version" in text_of(unchanged), "an unchanged form that is saved"
    form = fields_of(visitor.get(f"{home}{one}/edit"))
    written = {**form, "content": "Explain {{topic}} kindly.", "comment": "Kinder", "tags": "school, new"}
    for _ in range(2):
        assert "A new version is saved." in text_of(visitor.follow(visitor.submit(f"{home}{one}/edit", written)))
    assert ada.get(one).json["version"] == 2
    for changed in ({"comment": "Why not"}, {"title": "Another"}, {"content": form["content"]}):
        assert visitor.submit(f"{home}{one}/edit", {**written, **changed}).status_code == 409, changed
    assert Visitor(app, ben).submit(f"{home}{one}/edit", written).status_code == 409, "it is not Ben's version"
    titled = {**fields_of(visitor.get(f"{home}{one}/edit")), "title": "Another title"}
    for _ in range(2):
        assert "no new version" in text_of(visitor.follow(visitor.submit(f"{home}{one}/edit", titled)))
    assert (ada.get(one).json["title"], ada.get(one).json["version"]) == ("Another title", 2)


def test_placeholders_and_names_of_messages_survive_the_form(app: Flask, ada: Person) -> None:
    messages = [
        {"role": "system", "content": "Be kind.", "name": "house"},
        {"placeholder": "history"},
        {"role": "user", "content": "Hello {{name}}"},
    ]
    prompt = ada.post("/prompts", {"title": "Chat", "model": "m", "messages": messages}).json
    visitor, one = Visitor(app, ada), f"/prompts/{prompt['_id']}"
    assert visitor.get(f"{one}/edit").text.count('name="message"') == 3
    sent = {"title": "Chat", "type": "chat", "model": "m", "role": ["system", "placeholder", "user"]}
    sent |= {"message": ["Be kind.", "history", "Hello {{name}}"], "message-name": ["house", "", ""]}
    assert "no new version" in text_of(visitor.follow(visitor.submit(f"{one}/edit", sent)))
    assert ada.get(one).json["messages"] == messages


def test_variables_are_filled_in_without_storing_anything(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    text = ada.prompt(content="Explain {{topic}} to {{who}}.")
    one = f"/prompts/{text['_id']}"
    page = visitor.submit(f"{one}/render", {"value.topic": "<b>tides</b>", "value.who": "{{topic}}", "version": "1"})
    assert page.status_code == 200
    assert "Explain <b>tides</b> to {{topic}}." in text_of(page)
    assert "<b>" not in page.text
    messages = [{"placeholder": "history"}, {"role": "user", "content": "Hello {{name}}"}]
    chat = ada.post("/prompts", {"title": "Chat", "model": "m", "messages": messages}).json
    one = f"/prompts/{chat['_id']}"
    history = '[{"role": "assistant", "content": "Earlier"}]'
    page = visitor.submit(f"{one}/render", {"value.history": history, "value.name": "Ada"})
    assert "assistant Earlier user Hello Ada" in text_of(page)
    assert "Hello Ada" in text_of(visitor.submit(f"{one}/render", {"value.name": "Ada"})), "no messages are inserted"
    for wrong, reason in (("{", "Invalid JSON"), ("{}", "Must be an array of messages"), ('[{"role": "x"}]', "a role")):
        refused = visitor.submit(f"{one}/render", {"value.history": wrong, "value.name": "Ada"})
        assert refused.status_code == 400
        assert reason in text_of(refused), wrong
        assert wrong.replace('"', "&#34;") in refused.text
    assert ada.get(one).json["version"] == 1
    app.config["MAX_OUTPUT_BYTES"] = 100
    refused = visitor.submit(f"{one}/render", {"value.name": "x" * 200})
    assert (refused.status_code, "too large" in text_of(refused) or "at most" in text_of(refused)) == (400, True)


def test_messages_are_compared_in_pairs(app: Flask, ada: Person) -> None:
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello {{name}}"}]
    prompt = ada.post("/prompts", {"title": "Chat", "model": "m", "messages": messages}).json
    one = f"/prompts/{prompt['_id']}"
    ada.patch(one, {"messages": [{"role": "system", "content": "Be very kind."}, {"placeholder": "past"}, messages[1]]})
    visitor = Visitor(app, ada)
    page = visitor.get(f"{one}/diff?before=1&after=latest")
    assert "very </ins>kind." in page.text
    assert '<div class="message missing">' in page.text
    assert page.text.count("Hello {{name}}") == 2
    assert "<del>" not in page.text
    assert "Both are version 2" in text_of(visitor.get(f"{one}/diff?before=2&after=2"))
    ada.patch(one, {"config": {"temperature": 1}})
    assert "The messages are the same in both" in text_of(visitor.get(f"{one}/diff?before=2&after=3"))
    assert visitor.get(f"{one}/diff?before=1&after=9").status_code == 404


def test_a_prompt_shows_scores_of_versions_its_newest_outputs_and_to_owners_its_audit_trail(
    app: Flask, ada: Person, ben: Person
) -> None:
    prompt = ada.prompt(title="Shared", content="One")
    one = f"/prompts/{prompt['_id']}"
    ada.patch(one, {"content": "Two"})
    for number in range(7):
        ada.log(prompt, promptVersion=1, output=f"output number {number}", score=number)
    ada.log(prompt, promptVersion=2, output="the newest")
    ada.put(f"{one}/labels/production", {"version": 1})
    page = Visitor(app, ada).get(one)
    shown = text_of(page)
    assert "Mean score 3 of 7 outputs" in shown
    assert "1 output, none scored" in shown
    assert "the newest" in shown
    assert page.text.count("output-cell") == 5
    assert "output number 2" not in shown
    assert "Who changed what" in shown
    assert "put a label" in shown
    share(ada, ben, "editor")
    assert "Who changed what" not in text_of(Visitor(app, ben).get(home_of(ada) + one))


def test_the_versions_go_on_on_a_second_page(app: Flask, ada: Person) -> None:
    prompt = ada.prompt(content="0")
    one = f"/prompts/{prompt['_id']}"
    for number in range(22):
        ada.patch(one, {"content": str(number)})
    visitor = Visitor(app, ada)
    older = re.search('href="([^"]+)">Older versions', visitor.get(one).text)
    assert older is not None
    assert "Version 1 " in text_of(visitor.get(older[1].replace("&amp;", "&")))


def test_a_label_is_set_where_the_reader_is_and_the_notice_says_which_and_where(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    one = f"/prompts/{prompt['_id']}"
    ada.patch(one, {"content": "Shorter"})
    visitor = Visitor(app, ada)
    put = visitor.follow(visitor.submit(f"{one}/labels", {"label": "production", "version": "1"}))
    assert "The label is put: production is now on version 1," in text_of(put)
    assert "Version 1 production" in text_of(put), "the version that the label was put on"
    moved = visitor.submit(f"{one}/labels", {"label": "production", "version": "2"})
    assert moved.headers["Location"].endswith(one), "the latest version"
    assert "The label is moved: production is now on version 2," in text_of(visitor.follow(moved))
    visitor.submit(f"{one}/labels", {"label": "old", "version": "1"})
    removed = visitor.follow(visitor.submit(f"{one}/labels", {"label": "old", "version": "1", "remove": "1"}))
    assert "The label old is removed." in text_of(removed)
    assert 'aria-label="Version 1"' in removed.text


def test_a_protected_label_is_moved_by_owners_and_is_not_offered_to_others(
    app: Flask, ada: Person, ben: Person
) -> None:
    prompt = ada.prompt(title="Shared")
    one, home = f"/prompts/{prompt['_id']}", home_of(ada)
    ada.put(f"{one}/labels/production", {"version": 1})
    ada.put(f"{one}/labels/staging", {"version": 1})
    share(ada, ben, "editor")
    protect(ada, "production")
    page = Visitor(app, ben).get(home + one)
    shown = text_of(page)
    assert "Only owners of the workspace move production" in shown
    assert "Remove staging" in shown
    assert "Remove production" not in shown
    assert "Only owners delete this prompt" in shown
    edit = Visitor(app, ben).get(f"{home}{one}/edit")
    assert "because of a protected label" in text_of(edit)
    assert "Remove production" in text_of(Visitor(app, ada).get(home + one))
    refused = Visitor(app, ben).submit(f"{home}{one}/labels", {"label": "production", "version": "1"})
    assert refused.status_code == 403
    assert Visitor(app, ben).submit(f"{home}{one}/edit", {**fields_of(edit), "content": "New"}).status_code == 303
    for version in ("", "x y", "9"):
        refused = Visitor(app, ada).submit(f"{home}{one}/labels", {"label": "canary", "version": version})
        assert refused.status_code == 400, version


def test_a_prompt_is_downloaded_as_the_api_answers_it_and_the_line_for_curl_fetches_it(app: Flask, ada: Person) -> None:
    prompt = ada.prompt(slug="school/explain", content="One")
    one = f"/prompts/{prompt['_id']}"
    ada.patch(one, {"content": "Two"})
    visitor = Visitor(app, ada)
    yaml = {"Accept": "application/yaml"}
    assert visitor.get(f"{one}?as=json").json == ada.get(one).json
    assert visitor.get(f"{one}?as=yaml").data == ada.get(one, headers=yaml).data
    assert visitor.get(f"{one}?as=json&version=1").json == ada.get(f"{one}/versions/1").json
    assert visitor.get(f"{one}?as=yaml&version=1").data == ada.get(f"{one}/versions/1", headers=yaml).data
    assert visitor.get(f"{one}?as=csv").status_code == 400
    key = ada.post("/auth/keys", {"name": "k"}).json["key"]
    for path, expected in ((one, "Two"), (f"{one}?version=1", "One")):
        line = re.search("curl http://localhost(/[^ ]+) -H", visitor.get(path).text)
        assert line is not None
        answer = app.test_client().get(line[1], headers={"x-api-key": key})
        assert answer.get_json()["content"] == expected


def test_the_form_of_a_new_prompt_has_a_message_of_the_system_and_one_of_the_user(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    roles = [r'Role of message 1".*?value="system" selected', r'Role of message 2".*?value="user" selected']
    for page in (visitor.get("/prompts/new"), visitor.get(f"/prompts/{ada.prompt()['_id']}/edit")):
        assert all(re.search(role, page.text, re.DOTALL) for role in roles)
        assert page.text.count("Role of message") == 2


def test_production_is_moved_where_two_versions_are_compared(app: Flask, ada: Person, ben: Person) -> None:
    prompt = ada.prompt()
    one = f"/prompts/{prompt['_id']}"
    ada.patch(one, {"content": "Shorter"})
    visitor = Visitor(app, ada)
    page = f"{home_of(ada)}{one}/diff?before=1&after=2"
    assert "Put production on version 2" in text_of(visitor.get(page))
    ada.put(f"{one}/labels/production", {"version": 1})
    shown = visitor.get(page)
    assert "Move production to version 2" in text_of(shown)
    fields = dict(re.findall(r'<input type="hidden" name="(label|version)" value="([^"]+)"', shown.text))
    visitor.submit(f"{home_of(ada)}{one}/labels", fields)
    assert ada.get(f"{one}/versions/production").json["version"] == 2
    assert "Move production" not in visitor.get(page).text
    assert "Move production to version 1" in text_of(visitor.get(f"{home_of(ada)}{one}/diff?before=2&after=1"))
    trail = text_of(visitor.get(f"{home_of(ada)}{one}"))
    assert "put a label production version 1 2" in trail
    share(ada, ben, "viewer")
    of_viewer = Visitor(app, ben).get(f"{home_of(ada)}{one}/diff?before=2&after=1")
    assert (of_viewer.status_code, "production to version" in text_of(of_viewer)) == (200, False)
