"""The HTML of all pages that links lead to: valid, and each link on them works."""

from collections import Counter
from typing import Any, cast
from urllib.parse import urldefrag, urljoin, urlsplit

import html5lib
from flask import Flask

from tests.support.databases import only_sqlite
from tests.support.full_account import fill_account
from tests.support.people import Answer, Person
from tests.support.visitors import Visitor, home_of

pytestmark = only_sqlite
_ORIGIN = "http://localhost"
_PAGES_MAX = 400
_UNLABELLED = {"hidden", "submit", "button"}  # types of inputs that need no label
_NAMING = ("aria-label", "aria-labelledby", "title")


class _Crawl:
    """The pages that links lead to, from these paths on, and what is wrong with them."""

    def __init__(self, visitor: Visitor, paths: list[str]) -> None:
        self.visitor = visitor
        self.faults: list[tuple[str, str]] = []
        self._waiting = [(path, "start") for path in paths]
        self._seen = set(paths)

    def run(self) -> None:
        """Open all of them."""
        opened = 0
        while self._waiting and opened < _PAGES_MAX:
            path, source = self._waiting.pop(0)
            answer = cast(Answer, self.visitor.client.get(path, buffered=True))
            opened += 1
            if answer.status_code >= 400:
                self.faults.append((path, f"{answer.status_code}, linked from {source}"))
            elif answer.status_code >= 300:
                self._add(path, answer.headers["Location"])
            elif answer.mimetype == "text/html" and path != "/docs":
                self.faults += [(path, fault) for fault in find_faults(answer)]
                for element in html5lib.parse(answer.text, namespaceHTMLElements=False).iter():
                    for name in ("href", "src"):
                        if element.get(name) and element.tag != "{http://www.w3.org/2000/svg}use":
                            self._add(path, element.get(name))

    def _add(self, source: str, link: str) -> None:
        target, _ = urldefrag(urljoin(_ORIGIN + source, link))
        if not target.startswith(_ORIGIN):
            self.faults.append((source, f"leads to another server: {link}"))
            return
        path = target.removeprefix(_ORIGIN)
        # of each page a few sets of parameters: every filter on each page of a list would be thousands
        kind = f"{urlsplit(path).path} {min(urlsplit(path).query.split('&'))}"
        if path not in self._seen and kind not in self._seen:
            self._seen |= {path, kind}
            self._waiting.append((path, source))


def find_faults(answer: Answer) -> list[str]:
    """Return what is wrong with the HTML of a page."""
    parser = html5lib.HTMLParser(namespaceHTMLElements=False)
    root = parser.parse(answer.text)
    # control characters of a text are shown as they are: a form would send back anything else
    errors = [error for error in parser.errors if error[1] != "invalid-codepoint"]
    faults = [f"line {line}: {code} {details}" for (line, _), code, details in errors]
    elements = [element for element in root.iter() if isinstance(element.tag, str)]
    if sum(element.tag == "h1" for element in elements) != 1:
        faults.append(f"{sum(element.tag == 'h1' for element in elements)} h1")
    repeated = [name for name, count in Counter(each.get("id") for each in elements).items() if name and count > 1]
    faults += [f"id {name} is not unique" for name in repeated]
    ids = {each.get("id") for each in elements}
    labelled = {each.get("for") for each in elements if each.tag == "label"}
    within = {id(each) for label in elements if label.tag == "label" for each in label.iter()}
    for each in elements:
        faults += _find_faults_of_element(each, ids, labelled, id(each) in within)
    if not root.findtext("head/title", "").strip(" –"):
        faults.append("no title")
    if root.get("lang") != "en":
        faults.append("no language")
    return faults


def _find_faults_of_element(each: Any, ids: set[str], labelled: set[str], is_within_label: bool) -> list[str]:
    faults = []
    shown = f"<{each.tag} {each.attrib}>"
    if each.tag == "style" or (each.tag == "script" and not each.get("src")) or each.get("style") is not None:
        faults.append(f"inline: {shown}")
    if any(name.startswith(("on", "hx-on")) for name in map(str, each.attrib)):
        faults.append(f"a handler of events: {shown}")
    is_field = each.tag in ("input", "select", "textarea") and each.get("type") not in _UNLABELLED
    if is_field and not is_within_label and each.get("id") not in labelled and not any(map(each.get, _NAMING)):
        faults.append(f"no label: {shown}")
    for name in ("for", "aria-labelledby", "aria-describedby", "aria-controls"):
        faults += [f"{name} leads nowhere: {shown}" for target in (each.get(name) or "").split() if target not in ids]
    if each.tag == "img" and each.get("alt") is None:
        faults.append(f"no alternative: {shown}")
    return faults


def test_every_page_is_valid_and_each_link_on_it_works(app: Flask, ada: Person) -> None:
    fill_account(ada)
    visitor, home = Visitor(app, ada), home_of(ada)
    prompt = ada.get("/prompts").json[-1]["_id"]
    log = ada.get("/logs?per_page=1").json[0]["_id"]
    starts = ["/app/sign-in", "/app/sign-up", "/app/invitation", visitor.home, home]
    starts += [f"{home}/{path}" for path in (f"prompts/{prompt}/diff?before=1&after=2", "review?raters=1&name=helpful")]
    starts += [f"{home}/outputs?q=nothing", f"{home}/statistics?groupBy=day", f"{home}/review?output={log}"]
    crawl = _Crawl(visitor, starts)
    crawl.run()
    assert crawl.faults == []


def test_pages_of_an_empty_workspace_and_of_errors_are_valid(app: Flask, ada: Person) -> None:
    visitor, home = Visitor(app, ada), home_of(ada)
    crawl = _Crawl(visitor, [home])
    crawl.run()
    assert crawl.faults == []
    refused = [
        visitor.get("/app/nothing"),
        visitor.submit(f"{home}/statistics", {}),
        visitor.get(f"{home}/outputs?per_page=x&nonsense=1"),
        visitor.submit(f"{home}/prompts", {"title": "", "type": "chat"}),
        visitor.submit(f"{home}/settings/password", {"currentPassword": "x", "newPassword": "y"}),
        visitor.submit(f"{home}/settings/keys", {"name": ""}),
        Visitor(app).submit("/app/sign-in", {"email": "<", "password": ""}),
        Visitor(app).submit("/app/sign-up", {"email": "<", "name": "", "password": ""}),
    ]
    for answer in refused:
        assert 400 <= answer.status_code < 500, answer.request.path
        assert find_faults(answer) == [], answer.request.path


def test_names_from_right_to_left_are_isolated_from_the_times_beside_them(app: Flask, ada: Person) -> None:
    assert ada.patch("/auth/me", {"name": "שרה"}).status_code == 200
    prompt = ada.prompt()
    ada.patch(f"/prompts/{prompt['_id']}", {"content": "Another text"})
    log = ada.log(prompt, score=5)
    visitor = Visitor(app, ada)
    one = f"/prompts/{prompt['_id']}"
    for path in ("/prompts", one, f"{one}/diff?before=1&after=2", f"/outputs/{log['_id']}"):
        main = visitor.get(path).text.partition("<main")[2]
        assert "<bdi>שרה</bdi>" in main, path
