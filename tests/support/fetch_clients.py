"""The clients of the guide that fetch a prompt, each in a process of its own, and what a server does to them."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.connection import Connection, sign_up
from tests.support.environment import ROOT, free_port
from tests.support.servers import LiveServer

AGE_S = 0.3
SLUG, LABEL = "support/reply", "production"
FALLBACK = {"content": "from the program", "model": "m"}
_PATIENCE_S = 20
_EVERYTHING = "é {{ a }}{{a}}\t{{\tb-1.c }}{{ü}} {{{a}}} {x} {{}} {{.a}} {{a b}} {{\na}}"
_VALUES: dict[str, Any] = {
    **{"a": "{{b}} $& \\1 $1", "b-1.c": {"k": [1, None, True, "é\n"]}, "ü": None, "unused": 1, "p": [], "b": "no"},
    "history": [{"role": "user", "content": "{{a}}"}, {"role": "tool", "content": None, "tool_call_id": {"x": []}}],
}
_CHAT = [
    {"role": "system", "name": "{{a}}", "content": _EVERYTHING},
    *({"placeholder": "history"}, {"placeholder": "p"}, {"placeholder": "history"}, {"role": "user", "content": ""}),
]
_FILLED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    *(({"content": _EVERYTHING}, _VALUES), ({"messages": _CHAT}, _VALUES)),
    *(({"content": _EVERYTHING}, {"a": 1}), ({"messages": _CHAT}, {**_VALUES, "history": "text"})),
    ({"messages": _CHAT}, {name: value for name, value in _VALUES.items() if name != "p"}),
    ({"content": "{{constructor}}"}, {}),
]


def save_client(language: str, folder: Path) -> str:
    """Save the client of the guide in this language, and return the name of its file."""
    guide = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    blocks = re.findall(rf"^```{language}\n(?:#|//) (fetch_prompt\.\w+)\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    ((name, program),) = blocks
    fetching, signature, filling = re.split(r"^(def fill|export function fill)", program, flags=re.MULTILINE)
    assert len([line for line in fetching.splitlines() if line.strip()]) <= 32, "about thirty lines"
    assert len([line for line in (signature + filling).splitlines() if line.strip()]) <= 15, "about fifteen lines"
    (folder / name).write_text(program, encoding="utf-8")
    return str(name)


class Client:
    """A running program: for each line with a slug it prints the version, or the error, as a line of JSON."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def fetch(self, slug: str = SLUG) -> Any:
        """Return the version that the client has for the label, or the text of its error."""
        assert self._process.stdin
        assert self._process.stdout
        print(slug, file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def fetch_until(self, content: str) -> None:
        """Fetch until the version has this content."""
        deadline = time.monotonic() + _PATIENCE_S
        while self.fetch()["content"] != content:
            assert time.monotonic() < deadline, f"{content} has not arrived"
            time.sleep(AGE_S / 10)


def render_examples(server: LiveServer) -> tuple[list[Any], list[Any]]:
    """Return versions, each with variables, and what the server makes of each: null where it refuses the values."""
    owner = Connection(server, sign_up(server))
    examples, rendered = [], []
    for fields, variables in _FILLED:
        path = f"/prompts/{owner.call('POST', '/prompts', {'title': 'Reply', 'model': 'm', **fields}).json['_id']}"
        examples.append([owner.call("GET", f"{path}/versions/1").json, variables])
        answer = owner.call("POST", f"{path}/render", {"variables": variables})
        assert answer.status in (200, 400), answer.body
        rendered.append(answer.json.get("text", answer.json.get("messages")))
    assert [result is None for result in rendered] == [False, False, True, True, True, True]
    return examples, rendered


@contextmanager
def running(command: Sequence[str], folder: Path, environment: dict[str, str]) -> Iterator[Client]:
    """Start a program with a client in a folder, and end it after the block."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield Client(process)
        finally:
            process.kill()


def follow_a_label(
    start_server: Callable[..., LiveServer], command: Sequence[str], folder: Path, sqlite_template: Path
) -> None:
    """See that a client follows a label of a server that goes away and comes back, and never fails meanwhile."""
    file, port = folder / "fetched.db", free_port()
    shutil.copy(sqlite_template, file)

    def serve() -> LiveServer:
        return start_server(f"sqlite:///{file}", migrate=False, port=port)

    def stop(server: LiveServer) -> None:
        server.process.terminate()
        server.process.wait(timeout=20)

    server = serve()
    owner = Connection(server, sign_up(server))
    prompt = {"title": "Reply", "slug": SLUG, "content": "one", "model": "m"}
    path = f"/prompts/{owner.call('POST', '/prompts', prompt).json['_id']}"
    owner.call("PATCH", path, {"content": "two ü"})
    owner.call("PUT", f"{path}/labels/{LABEL}", {"version": 1})
    key = owner.call("POST", "/auth/keys", {"name": "fetch", "scopes": ["read"]}).json["key"]
    stop(server)
    environment = {**server.environment, "PROMPTCRAFTER_URL": server.url, "PROMPTCRAFTER_KEY": key}
    with running(command, folder, environment) as client:
        assert client.fetch() == FALLBACK
        server = serve()
        owner = Connection(server, owner.headers["Authorization"].removeprefix("Bearer "))
        client.fetch_until("one")
        version = owner.call("GET", f"{path}/versions/{LABEL}").json
        assert client.fetch() == version
        time.sleep(AGE_S)
        assert client.fetch() == version
        assert f'"path": "/prompts/by-slug/{SLUG}/versions/{LABEL}", "status": 304' in server.log
        owner.call("PUT", f"{path}/labels/{LABEL}", {"version": 2})
        client.fetch_until("two ü")
        raised = client.fetch("un known")
        assert f"{server.url}/prompts/by-slug/un%20known/versions/{LABEL} answers 404: " in raised
        assert "not found" in raised
        stop(server)
        for _ in range(3):
            assert client.fetch()["content"] == "two ü"
            time.sleep(AGE_S)
        server = serve()
        owner = Connection(server, owner.headers["Authorization"].removeprefix("Bearer "))
        owner.call("PUT", f"{path}/labels/{LABEL}", {"version": 1})
        client.fetch_until("one")
