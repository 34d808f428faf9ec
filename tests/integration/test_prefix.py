"""The service below a path of a host, behind a real proxy that removes the path from requests or keeps it."""

import re
from urllib.parse import urljoin, urlsplit

import pytest

from tests.support.connection import Connection, create_prompt, sign_up
from tests.support.proxy import proxied
from tests.support.servers import Launch

PREFIX = "/promptcrafter"
PROTO = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7"}


@pytest.mark.parametrize("removes", [True, False], ids=["removed", "kept"])
@pytest.mark.parametrize("mechanism", ["SCRIPT_NAME", "X-Forwarded-Prefix"])
def test_every_link_leads_back_through_the_proxy(start_server: Launch, removes: bool, mechanism: str) -> None:
    static = {"SCRIPT_NAME": PREFIX} if mechanism == "SCRIPT_NAME" else {}
    headers = PROTO if static else {**PROTO, "X-Forwarded-Prefix": PREFIX}
    server = start_server(TRUSTED_PROXIES="1", **static)
    token = sign_up(server)
    connection = Connection(server, token)
    create_prompt(connection), create_prompt(connection)
    with proxied(server, PREFIX, removes=removes, headers=headers) as url:
        outside = Connection(server, token)
        outside.connection = type(outside.connection)(urlsplit(url).netloc, timeout=30)

        def get(link: str) -> bytes:
            answer = outside.call("GET", link)
            assert answer.status == 200, (link, answer.body)
            return answer.body

        index = outside.call("GET", f"{PREFIX}/").json
        assert index["docs"] == f"{PREFIX}/docs"
        page = get(index["docs"]).decode()
        assert b'"servers":[{"url":"/promptcrafter"}]' in get(index["openapi"]).replace(b" ", b"")
        assets = re.findall(r'(?:href|src)="(/[^"]+)"', page)
        assert len(assets) == 4
        for asset in assets:
            get(asset)
        assert b'url: "openapi.json"' in get(f"{PREFIX}/static/docs.js")
        assert urljoin(f"{PREFIX}/docs", "openapi.json") == index["openapi"]

        first = outside.call("GET", f"{PREFIX}/prompts?per_page=1")
        link = re.fullmatch('<(.*)>; rel="next"', first.headers["Link"])
        assert link
        assert link[1].startswith(url.replace("http:", "https:"))
        get(link[1].partition(urlsplit(url).netloc)[2])
        body = {"promptId": first.json[0]["_id"], "output": "x", "modelUsed": "m"}
        created = outside.call("POST", f"{PREFIX}/logs", body)
        assert created.status == 201
        get(created.headers["Location"])
        assert outside.call("GET", "/prompts").status == 404  # outside of the path is the proxy's own
        outside.close()
    assert '"status": 500' not in server.log
    assert f"PromptCrafter is at {server.url}{static.get('SCRIPT_NAME', '')} - " in server.log
    assert connection.call("GET", "/readyz").status == 200  # checks need no proxy


def test_a_script_name_of_another_form_stops_the_start(start_server: Launch) -> None:
    with pytest.raises(AssertionError, match="SCRIPT_NAME must be a path such as /promptcrafter"):
        start_server(SCRIPT_NAME="//evil.example")
