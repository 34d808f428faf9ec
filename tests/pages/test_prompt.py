"""The pages of a prompt: writing, changing, comparing, labelling, restoring, deleting."""

import re

from flask import Flask

from tests.support.people import Person
from tests.support.visitors import Visitor, text_of

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
    visitor.follow(visitor.submit(f"{one}/restore", {"version": "1"}))
    assert ada.get(one).json["version"] == 3
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


def test_the_list_is_filtered_by_tags_and_is_the_list_of_the_api_as_a_file(app: Flask, ada: Person) -> None:
    for number in range(55):
        ada.prompt(title=f"Prompt {number}", tags=["even" if number % 2 == 0 else "odd"])
    visitor = Visitor(app, ada)
    page = visitor.get("/prompts")
    assert page.text.count("title-cell") == 50
    following = re.search('href="([^"]+)" rel="next"', page.text)
    assert following is not None
    assert visitor.get(following[1].replace("&amp;", "&")).text.count("title-cell") == 5
    odd = visitor.get("/prompts?tag=odd&q=")
    assert "Prompt 1" in odd.text
    assert "Prompt 2<" not in odd.text
    assert visitor.get("/prompts?as=json&tag=odd").json == ada.get("/prompts?tag=odd").json
    as_csv = ada.get("/prompts?tag=odd", headers={"Accept": "text/csv"})
    assert visitor.get("/prompts?as=csv&tag=odd").data == as_csv.data
    assert visitor.get("/prompts?nonsense=1").status_code == 400
