"""The service answers the same on SQLite and PostgreSQL, to sequences of calls that hypothesis generates."""

import os
import re
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, note, settings

from config import Config
from promptcrafter import clock
from tests.contracts.call_strategies import BEGINNING, CALLS, END, REFERENCE, Call
from tests.support.databases import empty_database
from tests.support.environment import SECRET
from tests.support.people import Answer, Caller, sign_up

# The suite always generates the same calls; with more examples requested, each run generates others
EXAMPLES = os.environ.get("DIFFERENTIAL_EXAMPLES")
START = clock.from_text("2024-06-20T13:10:00Z")
PAGES_MAX = 5
# Values that necessarily differ between servers
_RANDOM = re.compile(
    r"\b(?P<kind>user|workspace|prompt|log|score|trace|experiment)_[0-9a-hjkmnp-tv-z]{26}\b"
    r"|\bexperiment-[0-9a-f]{12}\b"
    r"|\b[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b"
)
_ETAG = re.compile(r'(?<=^")[0-9a-f]{32}(?="$)')
_ROW = re.compile(r"(?<=[?&]cursor=)(?P<sort>[0-9-]*?)[0-9]+(?=[&>])")
_FRACTION = re.compile(r"\b[0-9]+\.[0-9]+(e[+-]?[0-9]+)?")
_NEXT = re.compile("<http://localhost([^>]*)>")
numbers = count()


class NormalizedResponse(NamedTuple):
    """A response as it is compared: random values are replaced."""

    status: int
    headers: dict[str, str]
    body: str


class Server(NamedTuple):
    """An application on one of the databases, with ids of resources of another account."""

    stranger: Caller
    bens: list[str]


class Side:
    """An account on one of the servers, with the names given to values of its responses so far."""

    def __init__(self, server: Server, number: int) -> None:
        self._ada = sign_up(server.stranger, f"ada{number}")
        self._known = {"bens": server.bens}

    def make(self, call: Call) -> NormalizedResponse:
        """Return the answer to a call; `@next0` is then the path of its next page, if there is one."""
        data = None if call.text is None else self._fill_in(call.text).encode(errors="surrogatepass")
        headers = {name: self._fill_in(value) for name, value in call.headers.items()}
        headers["X-Request-Id"] = "the-same"
        answer = self._ada.open(self._fill_in(call.path), method=call.method, data=data, headers=headers)
        if call.path == "/export":
            self._known["export"] = [answer.text]
        self._known["next"] = _NEXT.findall(answer.headers.get("Link", ""))
        return self._normalize(answer)

    def _normalize(self, answer: Answer) -> NormalizedResponse:
        headers = {}
        for name, value in answer.headers.items():
            plain = _ETAG.sub(lambda match: self._name("etag", match[0]), _ROW.sub(r"\g<sort>ROW", value))
            headers[name] = self._replace_random(plain)
        return NormalizedResponse(answer.status_code, headers, self._replace_random(answer.text))

    def _replace_random(self, text: str) -> str:
        return _RANDOM.sub(lambda match: self._name(match["kind"] or "other", match[0]), text)

    def _name(self, kind: str, value: str) -> str:
        known = self._known.setdefault(kind, [])
        if value not in known:
            known.append(value)
        return f"{kind}#{known.index(value)}"

    def _fill_in(self, text: str) -> str:
        return REFERENCE.sub(lambda match: self._find(match["kind"], int(match["number"])), text)

    def _find(self, kind: str, number: int) -> str:
        known = self._known.get(kind)
        return known[number % len(known)] if known else f"{kind}_00000000000000000000000000"


@pytest.fixture
def servers(
    make_app: Callable[[Config], Flask], request: pytest.FixtureRequest, tmp_path: Path
) -> tuple[Server, Server]:
    """One on each of the databases."""

    def serve(engine: str) -> Server:
        url = empty_database(engine, request, tmp_path / "test.db")
        folder = str(tmp_path / engine)
        app = make_app(Config(database_url=url, jwt_secret_key=SECRET, instance_path=folder, ratelimit_enabled=False))
        stranger = Caller(app.test_client())
        ben = sign_up(stranger, "ben")
        prompt = ben.prompt()
        trace = ben.post("/monitor/log", {"slug": "of nobody", "output": "Ben's"}).json["trace"]
        return Server(stranger, [prompt["_id"], ben.log(prompt)["_id"], trace["id"]])

    return serve("sqlite"), serve("postgresql")


@pytest.mark.usefixtures("migrated_postgresql_url")
@settings(
    max_examples=int(EXAMPLES or 7),
    derandomize=not EXAMPLES,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(calls=CALLS)
def test_both_databases_answer_alike(servers: tuple[Server, Server], calls: list[Call]) -> None:
    number = next(numbers)
    with pytest.MonkeyPatch.context() as patch:
        moment = START
        patch.setattr(clock, "now", lambda: moment)
        sides = [Side(server, number) for server in servers]
        for call in [*BEGINNING, *calls, *END]:
            note(str(call))
            moment += timedelta(milliseconds=call.later)
            compare(sides, call)


def compare(sides: list[Side], call: Call) -> None:
    """Make a call on each side, then those of some of the pages behind it."""
    for _ in range(PAGES_MAX):
        one, other = (side.make(call) for side in sides)
        if "/stats" in call.path:
            one, other = (response._replace(body=_FRACTION.sub(_round, response.body)) for response in (one, other))
        assert one == other, call
        assert one.status < 500, (call, one)
        if "Link" not in one.headers:
            return
        call = Call("GET", "@next0", headers=call.headers)


def _round(number: re.Match[str]) -> str:
    """Return a number without its last digits: those of a sum depend on the order in which the database adds."""
    return f"{round(float(number[0]), 9):.9g}"
