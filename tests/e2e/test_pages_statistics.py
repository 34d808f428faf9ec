"""The pages of statistics and experiments in a browser: axe, where the labels of charts really are, and the form."""

from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.test_pages import AXE, RULES, call, window
from tests.support.connection import Connection
from tests.support.servers import LiveServer

ACCOUNT = {"name": "Grace", "email": "grace@example.com", "password": "correct horse battery"}
LONG = "the answer first and then the reasons for it, politely"
# Of each chart that is shown: texts beyond its card, and pairs of texts that cover each other
MEASURE = """() => [...document.querySelectorAll('svg.chart')].filter(each => each.checkVisibility()).flatMap(chart => {
  const card = chart.closest('.card').getBoundingClientRect();
  const texts = [...chart.querySelectorAll('text')].map(each => [each.textContent, each.getBoundingClientRect()]);
  const name = chart.getAttribute('aria-label');
  const beyond = texts.filter(([, box]) => box.left < card.left || box.right > card.right).map(([text]) => text);
  const covered = texts.flatMap(([text, one], at) => texts.slice(at + 1).filter(([, other]) =>
    one.left < other.right - 1 && other.left < one.right - 1 && one.top < other.bottom - 3 && other.top < one.bottom - 3
  ).map(([other]) => [text, other]));
  return [...beyond, ...covered].map(fault => [name, fault]);
})"""


@pytest.fixture
def token(live_server: LiveServer) -> Any:
    """The token of an account whose workspace has something for each chart."""
    token = Connection(live_server).call("POST", "/auth/signup", ACCOUNT).json["token"]
    prompt = call(live_server, token, "POST", "/prompts", {"title": "Explain", "content": "Explain.", "model": "m"})
    one = f"/prompts/{prompt['_id']}"
    for number in (2, 3, 4):
        call(live_server, token, "PATCH", one, {"content": f"Explain {number}."})
        call(live_server, token, "PUT", f"{one}/labels/production", {"version": number})
    logs = [
        {
            **{"promptId": prompt["_id"], "promptVersion": number % 4 + 1, "output": f"Answer {number}"},
            **{"modelUsed": f"vendor/a-model-with-a-long-name-{number % 3}", "score": (number * 7) % 5 + number % 4},
            **{"cost": 0.001 * (1 + number % 4 / 50), "latencyMs": 900 + 40 * (number % 9), "input": f"{number % 50}"},
        }
        for number in range(200)
    ]
    call(live_server, token, "POST", "/logs/batch", {"logs": logs})
    variants = [{"key": key, "trafficPercent": 33} for key in ("polite", "short", LONG)]
    trial = {"slug": "trial", "name": "Polite, short, or both?", "status": "ACTIVE", "variants": variants}
    call(live_server, token, "POST", "/experiments", trial)
    for number in range(90):
        key = variants[number % 3]["key"]
        metrics = {"rating": number % 3 * 3 + number % 7, "conversionWithinTheFirstHourOfTheVisit": number % 2}
        call(live_server, token, "POST", "/experiment/trial/log", {"variantKey": key, "metrics": metrics})
    return token


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390, 320])
def test_charts_can_be_read_at_every_width_and_axe_finds_nothing(
    browser: Browser, live_server: LiveServer, token: str, scheme: Any, width: int
) -> None:
    prompt = call(live_server, token, "GET", "/prompts")[0]["_id"]
    call(
        live_server,
        token,
        "POST",
        "/experiments",
        {"slug": "draft", "name": "Draft", "variants": [{"key": "A", "trafficPercent": 1}]},
    )
    of_prompt = f"/statistics?promptId={prompt}"
    paths = [of_prompt, f"{of_prompt}&groupBy=version,model", f"{of_prompt}&groupBy=week,version", "/statistics"]
    paths += ["/statistics?groupBy=day", "/experiments/trial?growth=rating", "/experiments/trial?metric=score"]
    paths += ["/experiment/new", "/experiments/draft/edit", "/experiments/trial/edit", "/experiments/trial/delete"]
    with window(browser, live_server, color_scheme=scheme, viewport={"width": width, "height": 800}) as opened:
        opened.sign_in(ACCOUNT["email"], ACCOUNT["password"])
        home, page = opened.page.url, opened.page
        faults: dict[str, Any] = {}
        for path in paths:
            page.goto(home + path)
            page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
            page.evaluate(AXE.read_text("utf-8"))
            found = page.evaluate("rules => axe.run(document, {runOnly: {type: 'tag', values: rules}})", RULES)
            violations = [
                (each["id"], [node["html"][:120] for node in each["nodes"][:3]]) for each in found["violations"]
            ]
            wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            measured = page.evaluate(MEASURE)
            if violations or measured or wide > 0:
                faults[path] = (violations, measured, wide)
        assert faults == {}
        page.goto(home + of_prompt)
        shown = page.locator("svg.chart").evaluate_all("all => all.map(each => each.checkVisibility())")
        assert shown == [width == 1280, width != 1280] * (len(shown) // 2), "one of each two is shown"


@pytest.mark.parametrize("has_javascript", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_an_experiment_is_made_started_renamed_completed_and_deleted(
    browser: Browser, live_server: LiveServer, token: str, has_javascript: bool
) -> None:
    with window(browser, live_server, java_script_enabled=has_javascript) as opened:
        page = opened.page
        opened.sign_in(ACCOUNT["email"], ACCOUNT["password"])
        page.get_by_role("link", name="Experiments", exact=True).click()
        page.get_by_role("link", name="New experiment").click()
        page.get_by_label("Name", exact=True).fill("Kind or curt?")
        page.get_by_label("Key").first.fill("kind")
        page.get_by_label("Prompt").first.select_option("Explain")
        if not has_javascript:  # with it, the versions of a prompt are offered as soon as it is chosen
            page.get_by_role("button", name="Show the versions of these prompts").click()
        expect(page.locator("select#version-0")).to_be_visible()
        page.get_by_label("Version").first.select_option("4")
        page.get_by_role("button", name="Add a variant").click()
        expect(page.get_by_label("Key")).to_have_count(3)
        page.get_by_role("button", name="Remove variant 2").click()
        expect(page.get_by_label("Key")).to_have_count(2)
        page.get_by_label("Key").last.fill("kind")
        page.get_by_label("Share").last.fill("50")
        page.get_by_role("button", name="Make the experiment").click()
        expect(page.get_by_label("Name", exact=True)).to_have_value("Kind or curt?")
        expect(page.locator(".error, [role=alert]").first).to_be_visible()
        assert all("400 (BAD REQUEST)" in each for each in opened.complaints)
        opened.complaints.clear()
        page.get_by_label("Key").last.fill("curt")
        page.get_by_label("Key").last.press("Enter")
        expect(page.get_by_role("status")).to_contain_text("as a draft")
        expect(page.get_by_role("heading", name="Next: start it")).to_be_visible()
        for button, shown in (
            ("Start", "running"),
            ("Pause", "paused"),
            ("Resume", "running"),
            ("Complete", "completed"),
        ):
            page.get_by_role("button", name=button, exact=True).click()
            expect(page.get_by_role("status")).to_contain_text(f"The experiment is {shown}")
        page.get_by_role("link", name="Edit", exact=True).click()
        page.get_by_label("Name", exact=True).fill("Kind, or curt?")
        page.get_by_role("button", name="Save").last.click()
        expect(page.get_by_role("heading", name="Kind, or curt?")).to_be_visible()
        page.get_by_role("link", name="Delete", exact=True).click()
        page.get_by_role("link", name="Keep it").click()
        page.get_by_role("link", name="Delete", exact=True).click()
        page.get_by_role("button", name="Delete the experiment and its results").click()
        expect(page.get_by_role("status")).to_contain_text("The experiment is deleted")
    assert [each["slug"] for each in call(live_server, token, "GET", "/experiments")] == ["trial"]
