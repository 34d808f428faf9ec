"""GET /search over more prompts than it reads as recent: pages equal those of a plain search through all texts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from urllib.parse import quote

import pytest
from flask import Flask
from sqlalchemy import Connection, event, text

from promptcrafter.database.session import get_engine
from promptcrafter.database.transactions import writing
from promptcrafter.ids import new_id
from promptcrafter.prompts import ranking
from promptcrafter.prompts.restore import restore_prompts
from promptcrafter.prompts.search import search_columns
from promptcrafter.workspaces.principal import at_home
from tests.support.people import Person

COUNT = 2300
FEW, FEW_RECENT = 600, 500  # the same relation, in a quarter of the time
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
# Words, and how many of a thousand prompts contain them in a field, the newest and the oldest among them
PLACES = {
    "title": {"prompt": 995, "alpha": 2, "東京": 300, "x": 4, "gamma": 1},
    "tags": {"alpha": 3, "beta": 400, "北": 2},
    "content": {"alpha": 10, "beta": 20, "gamma": 500, "delta": 3, "東京": 9, "北": 350, "x": 200},
}
OLD, NEW = "quondam", "nuper"  # words that only the oldest and only the newest prompts have


@dataclass(frozen=True)
class Text:
    """A prompt that was made up, which has three fields in the folded form."""

    id: str
    title: str
    tags: tuple[str, ...]
    content: str

    def relevance(self, words: Sequence[str]) -> int | None:
        """Return what the contract says of a prompt and words, None when it has none of them."""
        fields = {2: [self.title], 1: self.tags, 0: [self.content]}
        of_field = {
            word: [value for value, texts in fields.items() if any(word in text for text in texts)] for word in words
        }
        found = [value for values in of_field.values() for value in values]
        return max(found) + 3 * all(of_field.values()) if found else None


@pytest.fixture
def library(app: Flask, ada: Person, ben: Person) -> list[Text]:
    """More prompts of ada's than the search reads as recent."""
    return fill_library(app, ada, ben, COUNT)


@pytest.fixture
def small_library(app: Flask, ada: Person, ben: Person, monkeypatch: pytest.MonkeyPatch) -> list[Text]:
    """The same with fewer prompts, of which the search reads fewer as recent."""
    monkeypatch.setattr(ranking, "_RECENT", FEW_RECENT)
    return fill_library(app, ada, ben, FEW)


def fill_library(app: Flask, ada: Person, ben: Person, count: int) -> list[Text]:
    """Give ada prompts, newest last, some of them at one time, and not in the order of their sequence."""
    random = Random(22)
    texts = [make_text(number, count, random) for number in range(count)]
    rows = [
        {"id": text.id, "slug": text.id, "title": text.title, "tags": text.tags, "created_at": at, "updated_at": at}
        for number, text in enumerate(texts)
        for at in [FIRST + timedelta(seconds=number // 3)]
    ]
    # three at one time keep their order, since the sequence decides it
    groups = [range(first, min(first + 3, count)) for first in range(0, count, 3)]
    random.shuffle(groups)
    shuffled = [number for group in groups for number in group]
    restore(app, ada, [rows[number] for number in shuffled], [texts[number] for number in shuffled])
    others = [Text(new_id("prompt"), "prompt alpha", ("beta",), f"gamma {OLD}") for _ in range(50)]
    moment = {"created_at": FIRST, "updated_at": FIRST}
    restore(app, ben, [{"id": o.id, "slug": o.id, "title": o.title, "tags": o.tags, **moment} for o in others], others)
    return texts


def make_text(number: int, count: int, random: Random) -> Text:
    rare = COUNT // count  # so that as many prompts have a rare word
    words = {
        field: [word for word, often in places.items() if random.randrange(1000) < often * (rare if often < 20 else 1)]
        for field, places in PLACES.items()
    }
    words["content"] += [OLD] * (number < 90) + [NEW] * (number >= count - 90)
    random.shuffle(words["content"])
    return Text(
        new_id("prompt"), " ".join([f"no{number}", *words["title"]]), tuple(words["tags"]), " ".join(words["content"])
    )


STATE: dict[str, object] = {"model": "m", "messages": None, "config": {}}


def restore(app: Flask, owner: Person, rows: Sequence[dict[str, object]], texts: Sequence[Text]) -> None:
    versions = [
        {"prompt_id": row["id"], "number": 1, "content": text.content, "labels": [], **STATE, **times(row)}
        for row, text in zip(rows, texts, strict=True)
    ]
    columns = [search_columns(text.title, text.tags, text.content) for text in texts]
    with app.app_context(), writing():
        restore_prompts(at_home(owner.id), [{"description": "", **row} for row in rows], versions, columns)


def times(row: dict[str, object]) -> dict[str, object]:
    return {name: row[name] for name in ("created_at", "updated_at")}


def rank(library: Sequence[Text], words: Sequence[str]) -> list[str]:
    """Return the ids of the expected results, in their order."""
    found = [
        (relevance, place, text.id)
        for place, text in enumerate(library)
        if (relevance := text.relevance(words)) is not None
    ]
    return [prompt_id for _, _, prompt_id in sorted(found, reverse=True)]


def read_pages(person: Person, words: Sequence[str], per_page: int, pages: int) -> list[list[str]]:
    """Return the ids of the first pages."""
    path = f"/search?q={quote(' '.join(words))}&per_page={per_page}"
    read: list[list[str]] = []
    while path and len(read) < pages:
        answer = person.get(path)
        assert answer.status_code == 200, answer.text
        read.append([prompt["_id"] for prompt in answer.json])
        path = answer.headers.get("Link", "").partition("<http://localhost")[2].partition(">")[0]
    return read


QUERIES = [
    *([word] for word in ("prompt", "alpha", "beta", "gamma", "東京", "北", OLD, NEW, "amm", "nothing")),
    *(["gamma", "delta"], ["alpha", "x"], ["beta", OLD], ["prompt", "東京", "北"]),
]


@pytest.mark.slow
def test_pages_equal_those_of_a_plain_search_through_all_texts(ada: Person, small_library: list[Text]) -> None:
    for words in QUERIES:
        expected = rank(small_library, words)
        read = read_pages(ada, words, per_page=30, pages=2)
        assert [found for page in read for found in page] == expected[:60], words
    for words, per_page in ((["alpha"], 20), (["gamma", "delta"], 500)):  # from level to level
        read = read_pages(ada, words, per_page, pages=FEW)
        assert [found for page in read for found in page] == rank(small_library, words), words
        assert [len(page) for page in read[:-1]] == [per_page] * (len(read) - 1)
    answer = ada.get(f"/search?q={quote('alpha 北')}")
    assert [prompt["_id"] for prompt in answer.json] == rank(small_library, ["alpha", "北"])


@pytest.fixture
def statistics_from_before(app: Flask, library: list[Text]) -> Iterator[None]:
    """Give PostgreSQL's planner the statistics of tables whose rows have been deleted, and limit statements in time.

    A table that takes a page and has no row is one of no rows however many pages it takes later.
    """
    tables = "('prompts', 'prompt_search', 'prompt_tags', 'prompt_labels')"
    know = f"UPDATE pg_class SET relpages = :pages, reltuples = :rows WHERE relname IN {tables}"

    def bound(connection: Connection) -> None:
        connection.exec_driver_sql("SET LOCAL statement_timeout = '15s'")

    with app.app_context():
        engine = get_engine()
    with engine.begin() as connection:
        connection.execute(text(know), {"pages": 1, "rows": 0})
    event.listen(engine, "begin", bound)
    yield
    event.remove(engine, "begin", bound)
    with engine.begin() as connection:
        connection.execute(text(know), {"pages": 0, "rows": -1})  # unknown, as for a new table


@pytest.mark.parametrize("engine_name", ["postgresql"])
@pytest.mark.usefixtures("statistics_from_before")
def test_no_search_takes_long_before_the_database_has_analysed_an_import(ada: Person, library: list[Text]) -> None:
    for words in QUERIES:
        read = read_pages(ada, words, per_page=30, pages=2)
        assert [found for page in read for found in page] == rank(library, words)[:60], words
    answer = ada.get("/search?q=quondam")
    assert [prompt["_id"] for prompt in answer.json] == rank(library, ["quondam"])


def test_a_cursor_need_not_be_that_of_an_existing_prompt(ada: Person) -> None:
    prompts = [ada.prompt(title=f"number {n}", content="delta")["_id"] for n in range(3)]
    newest = prompts[::-1]
    for cursor, expected in (("9-0-0", newest), ("4-0-0", newest), ("3-0-0", []), ("2-99999999999999-1", [])):
        answer = ada.get(f"/search?q=delta&per_page=2&cursor={cursor}")
        assert [prompt["_id"] for prompt in answer.json] == expected[:2], cursor
