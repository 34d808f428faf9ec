"""The migration to chat prompts: texts stay texts. The step back keeps the text of messages, and finds plain slugs."""

from typing import Any

from flask import Flask
from flask_migrate import downgrade, upgrade
from sqlalchemy import inspect, text

from promptcrafter.database.session import get_engine
from promptcrafter.prompts.messages import flatten
from tests.support.people import Caller, Person, sign_up

BEFORE = "c94e17d0b382"
PLAIN = {
    "prompts": "seq, id, workspace_id, author_id, title, content, model, version, created_at, updated_at",
    "prompt_versions": "prompt_id, number, content, model, created_at, author_id, comment",
    "prompt_labels": "prompt_id, name, version",
    "prompt_tags": "prompt_id, position, name",
    "prompt_search": "seq, title, tags, content",
}
MESSAGES = [{"role": "system", "content": "Answer {{who}}."}, {"placeholder": "history"}]
LONG = "x" * 118
# the slugs of prompts, oldest first, and what the step back makes of them
SLUGS = {
    "a-b": "a-b",
    "a/b": "a-b-3",
    "a-b-2": "a-b-2",
    "a/b/c/d": "a-b-c-d",
    "p/q-r": "p-q-r",
    "p-q/r": "p-q-r-2",
    f"{LONG}-y": f"{LONG}-y",
    f"{LONG}/y": f"{LONG}-2",
    f"{LONG[:116]}/y/z": f"{LONG[:116]}-y-z",
}
FREE = {"shared/slug": "shared-slug"}


def read(statement: str) -> list[Any]:
    with get_engine().connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def read_plain() -> dict[str, list[Any]]:
    """Return what the schema before has, too, but for the slugs."""
    return {table: read(f"SELECT {columns} FROM {table} ORDER BY 1, 2") for table, columns in PLAIN.items()}


def set_slugs(person: Person, slugs: list[str]) -> None:
    """Create a prompt for each slug, which is written by SQL: a slug of several segments depends on the release."""
    for slug in slugs:
        prompt = person.prompt(title=f"Slug of {len(slug)}")
        with get_engine().begin() as connection:
            connection.execute(
                text("UPDATE prompts SET slug = :slug WHERE id = :id"), {"slug": slug, "id": prompt["_id"]}
            )


def test_versions_stay_texts_and_a_step_back_keeps_everything_that_the_release_before_knows(
    migrated_app: Flask,
) -> None:
    client = Caller(migrated_app.test_client())
    ada, ben = sign_up(client, "ada"), sign_up(client, "ben")
    prompt = ada.prompt(content="findable", tags=["b", "a"], description="For classes", config={"top_p": 1})
    path = f"/prompts/{prompt['_id']}"
    ada.patch(path, {"messages": MESSAGES, "comment": "why"})
    ada.open(f"{path}/labels/production", method="PUT", json={"version": 2})
    log = ada.log(prompt)
    with migrated_app.app_context():
        set_slugs(ada, [*SLUGS])
        set_slugs(ben, [*FREE, "a/b"])
        before = read_plain()
        versions = read("SELECT number, content FROM prompt_versions WHERE content <> 'Some content' ORDER BY 1")
        assert versions == [(1, "findable"), (2, flatten(MESSAGES))]
        downgrade(revision=BEFORE)
        assert read_plain() == before
        slugs = [slug for (slug,) in read("SELECT slug FROM prompts WHERE title LIKE 'Slug of%' ORDER BY seq")]
        assert slugs == [*SLUGS.values(), *FREE.values(), "a-b"]
        assert max(map(len, slugs)) == 120
        columns = {column["name"] for table in PLAIN for column in inspect(get_engine()).get_columns(table)}
        assert columns.isdisjoint(("messages", "config", "description"))
        with get_engine().begin() as connection:  # as the release before would add a version
            connection.execute(
                text(
                    "INSERT INTO prompt_versions (prompt_id, number, content, model, created_at, author_id) "
                    "SELECT prompt_id, 3, 'three', model, created_at, author_id FROM prompt_versions WHERE number = 2"
                )
            )
            connection.execute(text("UPDATE prompts SET content = 'three', version = 3 WHERE version = 2"))
        upgrade()
        slugs_again = [slug for (slug,) in read("SELECT slug FROM prompts WHERE title LIKE 'Slug of%' ORDER BY seq")]
        assert slugs_again == slugs
    now = ada.get(path).json
    rows = ada.get(f"{path}/versions").json
    assert [row["content"] for row in rows] == ["three", flatten(MESSAGES), "findable"]
    for row in (now, *rows):
        assert (row["type"], row["messages"], row["config"]) == ("text", None, {})
    assert (now["description"], now["labels"], now["tags"]) == ("", ["production"], ["b", "a"])
    assert ada.get(f"/logs?promptId={prompt['_id']}").json == [log]
    assert ada.patch(path, {"messages": MESSAGES, "config": {"a": 1}}).json["version"] == 4
    assert ada.get(f"{path}/versions/2").json["content"] == ada.get(path).json["content"]
