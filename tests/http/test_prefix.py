"""Below a path of a host, every link of a response begins with that path; a malformed one is ignored or refused."""

import re
from collections.abc import Callable
from itertools import count, product
from typing import Any

import pytest

from tests.support.databases import only_sqlite
from tests.support.people import Caller, Person, sign_up

pytestmark = only_sqlite
numbers = count()  # of calls of links_of, each of which creates resources
FORWARDED = {"X-Forwarded-Prefix": "/promptcrafter"}
MALFORMED = [
    *(
        "//evil.example",
        "//evil.example/x",
        "https://evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "evil.example",
    ),
    *("/x//evil.example", "/..//evil.example", "/..", "/a/../b", "/./b", "/%2f%2fevil.example", "/a b", "/a\tb", "/é"),
    *(
        "/a?evil.example",
        "/a#evil.example",
        "/a;evil",
        '/a"evil',
        "/<evil>",
        "/a:evil",
        "/@evil.example",
        "/" + "a" * 200,
    ),
]


@pytest.fixture
def behind_proxy(with_settings: Callable[..., Caller]) -> Person:
    """An account of a service that trusts one proxy."""
    return sign_up(with_settings(trusted_proxies=1), "ada")


def links_of(person: Person, headers: dict[str, str], base: str = "") -> list[str]:
    """Return the links of many responses to calls below the path `base`."""
    prompt, log = {"title": "title", "content": "c", "model": "m"}, {"output": "x", "modelUsed": "m"}
    name = f"links-{next(numbers)}"
    key = {**headers, "Idempotency-Key": name}
    created = [person.post(f"{base}/prompts", prompt, headers=key) for _ in range(2)]
    person.post(f"{base}/prompts", prompt, headers=headers)
    prompt_id = created[0].json["_id"]
    created += [
        person.post(f"{base}/logs", {**log, "promptId": prompt_id}, headers=headers),
        person.post(f"{base}/prompts/{prompt_id}/versions/1/restore", headers=headers),
    ]
    variants = [{"key": "A", "trafficPercent": 1}]
    experiment = {"slug": name, "name": "Exp", "variants": variants}
    created.append(person.post(f"{base}/experiments", experiment, headers=headers))
    lists = ("/prompts?per_page=1", "/search?q=title&per_page=1")
    pages = [person.get(f"{base}{path}", headers=headers) for path in lists]
    index = person.get(f"{base}/", headers=headers).json
    page = person.get(f"{base}/docs", headers=headers).text
    assert all(answer.status_code == 201 for answer in created)
    return [
        *(answer.headers["Location"] for answer in created),
        *(answer.headers["Link"].partition(">")[0].removeprefix("<http://localhost") for answer in pages),
        *(index["docs"], index["openapi"]),
        *re.findall(r'(?:href|src)="([^"]+)"', page.replace('href="data:,"', "")),
        *(server["url"] for server in person.get(f"{base}/openapi.json", headers=headers).json.get("servers", [])),
    ]


def test_without_a_prefix_links_begin_at_the_root_of_the_host(ada: Person) -> None:
    links = links_of(ada, FORWARDED)
    assert len(links) >= 13
    assert all(re.match("/[a-z]", link) and "promptcrafter" not in link for link in links)


def test_links_begin_with_the_prefix_of_a_trusted_proxy(behind_proxy: Person, subtests: pytest.Subtests) -> None:
    for sent, base in product(("/promptcrafter", "/promptcrafter/", " /promptcrafter "), ("", "/promptcrafter")):
        with subtests.test(sent=sent, base=base):
            links = links_of(behind_proxy, {"X-Forwarded-Prefix": sent}, base)
            assert len(links) >= 14
            assert all(re.match("/promptcrafter(/[a-z]|$)", link) for link in links), links
            assert links[-1] == "/promptcrafter"


def test_links_begin_with_the_script_name(with_settings: Callable[..., Caller], subtests: pytest.Subtests) -> None:
    person = sign_up(with_settings(script_name="/tools/pc", trusted_proxies=1), "ada")
    for headers, base in product(({}, FORWARDED), ("", "/tools/pc")):
        with subtests.test(headers=headers, base=base):
            links = links_of(person, headers, base)
            assert all(re.match("/tools/pc(/[a-z]|$)", link) for link in links), links
    assert person.get("/healthz").status_code == person.get("/tools/pc/healthz").status_code == 200
    assert person.get("/tools/pc").json["name"] == "PromptCrafter"
    assert person.get("/tools/pcx/healthz").status_code == 404


def test_a_malformed_header_is_ignored(behind_proxy: Person, subtests: pytest.Subtests) -> None:
    behind_proxy.prompt(), behind_proxy.prompt()
    for sent in MALFORMED:
        with subtests.test(sent=sent):
            headers = {"X-Forwarded-Prefix": sent}
            page = behind_proxy.get("/prompts?per_page=1", headers=headers)
            assert page.headers["Link"].startswith("<http://localhost/prompts?")
            assert behind_proxy.get("/", headers=headers).json["docs"] == "/docs"
            assert "evil" not in behind_proxy.get("/docs", headers=headers).text
            assert "servers" not in behind_proxy.get("/openapi.json", headers=headers).json


@pytest.mark.parametrize(
    ("hops", "header", "docs"),
    [
        (1, "/a, /b", "/b/docs"),
        (2, "/a, /b", "/a/docs"),
        (2, "/b", "/b/docs"),
        (2, "/forged, /a, /b", "/a/docs"),
        (1, "/a,", "/docs"),
        (1, "//evil.example, /b", "/b/docs"),
        (1, "/", "/docs"),
        (0, "/a", "/docs"),
    ],
)
def test_of_several_values_that_of_the_outermost_trusted_proxy_counts(
    with_settings: Callable[..., Caller], hops: int, header: str, docs: str
) -> None:
    caller = with_settings(trusted_proxies=hops)
    assert caller.get("/", headers={"X-Forwarded-Prefix": header}).json["docs"] == docs


def test_a_prefix_may_begin_as_a_route_does(with_settings: Callable[..., Caller], behind_proxy: Person) -> None:
    behind_proxy.prompt()
    removed = behind_proxy.get("/prompts", headers={"X-Forwarded-Prefix": "/prompts"})
    assert len(removed.json) == 1
    person = sign_up(with_settings(script_name="/prompts"), "ben")
    assert person.get("/prompts/prompts").json == []
    assert person.get("/prompts/").json["docs"] == "/prompts/docs"


def test_a_link_without_a_host_has_the_prefix_too(behind_proxy: Person) -> None:
    behind_proxy.prompt(), behind_proxy.prompt()
    answer = behind_proxy.get("/prompts?per_page=1", headers={**FORWARDED, "Host": "a,b"})
    assert answer.headers["Link"].startswith("</promptcrafter/prompts?")


@pytest.mark.parametrize("path", ["/prompts", "/promptcrafter/prompts"])
def test_basalts_sdks_are_told_from_other_clients_below_a_prefix(behind_proxy: Person, path: str) -> None:
    behind_proxy.prompt()
    sdk = behind_proxy.get(path, headers={**FORWARDED, "X-Basalt-Sdk-Type": "python"})
    assert sdk.json["prompts"][0]["slug"] == "a-title"
    assert behind_proxy.get(path, headers=FORWARDED).json[0]["slug"] == "a-title"
    result: Any = Caller(behind_proxy.client).post("/promptcrafter/experiment/x/assign", {}, headers=FORWARDED)
    assert (result.status_code, result.json["message"]) == (401, "Unauthorized")
