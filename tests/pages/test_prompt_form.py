"""The form of a prompt: messages are rearranged, and a change of the type keeps what was written."""

import re

from flask import Flask

from tests.support.people import Person
from tests.support.visitors import Visitor, fields_of, text_of

_CHAT = {"title": "Chat", "type": "chat", "model": "m", "message-name": ["", "", ""]}
_ROLES = ["system", "user", "assistant"]


def _messages(html: str) -> list[tuple[str, str]]:
    roles = re.findall(r'<option value="([a-z]+)" selected>', html)
    return list(zip(roles, re.findall(r'name="message" [^>]*>\n(.*?)</textarea>', html, re.DOTALL), strict=True))


def test_messages_are_moved_up_and_removed_and_nothing_is_saved(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    sent = {**_CHAT, "role": _ROLES, "message": ["One", "Two", "Three"]}
    for path in ("/prompts", f"/prompts/{ada.prompt()['_id']}/edit"):
        raised = visitor.submit(path, {**sent, "raise-message": "3"})
        assert raised.status_code == 200
        assert _messages(raised.text) == [("system", "One"), ("assistant", "Three"), ("user", "Two")]
        removed = visitor.submit(path, {**sent, "remove-message": "1"})
        assert _messages(removed.text) == [("user", "Two"), ("assistant", "Three")]
        for number in ("1", "0", "4", "x", "99999999999", ""):
            kept = visitor.submit(path, {**sent, "raise-message": number})
            assert [text for _, text in _messages(kept.text)] == ["One", "Two", "Three"], number
    assert [prompt["version"] for prompt in ada.get("/prompts").json] == [1]


def test_a_text_becomes_the_message_of_the_user_and_one_message_the_text(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    empty = {**_CHAT, "role": _ROLES, "message": ["", "", ""], "content": "Explain {{topic}}"}
    shown = visitor.submit("/prompts", {**empty, "add-message": "1"})
    assert _messages(shown.text)[1] == ("user", "Explain {{topic}}")
    visitor.follow(visitor.submit("/prompts", empty))
    (prompt,) = ada.get("/prompts").json
    assert prompt["messages"] == [{"role": "user", "content": "Explain {{topic}}"}]
    edit = f"/prompts/{prompt['_id']}/edit"
    form = fields_of(visitor.get(edit))
    assert "content" in form
    visitor.follow(visitor.submit(edit, {**form, "type": "text", "role": ["user"], "message": ["Explain {{topic}}"]}))
    changed = ada.get(f"/prompts/{prompt['_id']}").json
    assert (changed["type"], changed["content"], changed["version"]) == ("text", "Explain {{topic}}", 2)


def test_what_was_written_for_the_chosen_type_is_never_replaced(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    both = {**_CHAT, "role": _ROLES, "message": ["Be kind", "", ""], "content": "A text"}
    visitor.follow(visitor.submit("/prompts", both))
    assert ada.get("/prompts").json[0]["messages"] == [{"role": "system", "content": "Be kind"}]
    refused = visitor.submit("/prompts", {**both, "type": "text", "content": "", "message": ["One", "Two", ""]})
    assert refused.status_code == 400, "which of several messages would it be"
    assert 'id="content-error"' in refused.text or "content" in text_of(refused)


def test_a_variable_that_is_not_closed_is_saved_with_a_warning(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    fields = {"title": "Reply", "type": "text", "content": "Answer {{complaint", "model": "gpt-4o"}
    page = visitor.follow(visitor.submit("/prompts", fields))
    assert "{{complaint is not closed: it is sent as it is." in text_of(page)
    prompt = ada.get("/prompts").json[0]
    assert prompt["content"] == "Answer {{complaint"
    assert "{{complaint is not closed" in text_of(visitor.get(f"/prompts/{prompt['_id']}/edit"))
    chat = {"title": "Reply", "type": "chat", "role": ["user"], "message": ["{{a b}}, c}}"], "message-name": [""]}
    page = visitor.follow(visitor.submit("/prompts", {**chat, "model": "gpt-4o"}))
    assert "c}} is not closed" in text_of(page)
    chat["message"] = ["{{a and\nb}}"]
    page = visitor.follow(visitor.submit("/prompts", {**chat, "model": "gpt-4o"}))
    assert "{{a and b}} are not closed: they are sent as they are." in text_of(page)
    page = visitor.follow(visitor.submit("/prompts", {**fields, "content": '{"a": {"b": 1}} {{complaint}}'}))
    assert "not closed" not in text_of(page)


def test_the_form_says_which_version_results(app: Flask, ada: Person) -> None:
    visitor, prompt = Visitor(app, ada), ada.prompt()
    page = text_of(visitor.get(f"/prompts/{prompt['_id']}/edit"))
    assert "Another text, model or parameters become version 2; version 1 stays as it is" in page
    assert "Save as version 2" in page
    assert "Save as" not in text_of(visitor.get("/prompts/new"))


def test_the_call_that_logs_outputs_is_found_beside_them(app: Flask, ada: Person) -> None:
    visitor, prompt = Visitor(app, ada), ada.prompt()
    path = f"/prompts/{prompt['_id']}"
    assert 'href="#log-call"' not in visitor.get(path).text
    ada.log(prompt)
    page = visitor.get(path).text
    assert ('href="#log-call"' in page, 'id="log-call"' in page) == (True, True)
