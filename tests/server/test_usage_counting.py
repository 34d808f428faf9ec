"""The counters of what workspaces store, in workers: made at a start with a limit, dropped at one without."""

import time
from collections.abc import Callable

from tests.support.connection import Connection, create_prompt, sign_up
from tests.support.servers import LiveServer


def test_a_start_with_a_limit_counts_what_is_stored_and_one_without_stops_it(
    start_server: Callable[..., LiveServer],
) -> None:
    server = start_server()
    token = sign_up(server)
    prompt = create_prompt(Connection(server, token))
    url, log = server.environment["DATABASE_URL"], {"promptId": prompt, "output": "o" * 5000, "modelUsed": "m"}
    home = f"/workspaces/{Connection(server, token).call('GET', '/workspaces').json[0]['_id']}"
    assert Connection(server, token).call("POST", "/logs", log).status == 201

    limited = Connection(start_server(url, migrate=False, MAX_WORKSPACE_BYTES="7000"), token)
    deadline = time.monotonic() + 20
    while "usedBytes" not in (shown := limited.call("GET", home).json) or not shown["usedBytes"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert 5000 < shown["usedBytes"] < shown["maxBytes"] == 7000
    full = limited.call("POST", "/logs", log)
    assert (full.status, full.json["code"]) == (507, "workspace_full")

    free = Connection(start_server(url, migrate=False), token)
    assert free.call("POST", "/logs", log).status == 201
    assert "usedBytes" not in free.call("GET", home).json
