"""The metrics of one process: correct values, labels of bounded number, and no data of users."""

import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from flask import Flask
from openapi_spec_validator import validate

from config import Config
from promptcrafter.database.transactions import writing
from promptcrafter.logs import store as logs
from promptcrafter.server import metrics
from promptcrafter.version import VERSION
from promptcrafter.workspaces.principal import at_home
from tests.support.databases import only_sqlite
from tests.support.environment import ROOT, SECRET
from tests.support.errors import assert_error
from tests.support.people import Caller, Person, sign_up

REQUESTS = "promptcrafter_http_requests_total"
DURATION = "promptcrafter_http_request_duration_seconds"
IN_PROGRESS = "promptcrafter_http_requests_in_progress"
WRITTEN = "promptcrafter_logs_written_total"
UP = "promptcrafter_database_up"
SIZE = "promptcrafter_database_size_bytes"


@pytest.fixture
def client(with_settings: Callable[..., Caller]) -> Caller:
    """An anonymous client of an application with metrics."""
    return with_settings(metrics=True)


def read(text: str) -> dict[str, float]:
    """Return every sample with its value."""
    samples = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}


def scrape(person: Person) -> dict[str, float]:
    answer = person.get("/metrics")
    assert (answer.status_code, answer.content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return read(answer.text)


def counted(person: Person, name: str) -> dict[str, float]:
    """Return the samples of one metric by their labels, but for those of the scrapes themselves."""
    return {
        sample.removeprefix(name): value
        for sample, value in scrape(person).items()
        if sample.startswith(name) and "/metrics" not in sample
    }


@only_sqlite
def test_the_route_exists_only_with_metrics_on(with_settings: Callable[..., Caller]) -> None:
    silent = with_settings()
    assert_error(silent.get("/metrics"), 404, "route_not_found", "Route not found")
    assert "/metrics" not in silent.get("/openapi.json").json["paths"]


@only_sqlite
def test_with_metrics_on_the_route_is_in_the_api_description(client: Caller) -> None:
    document = client.get("/openapi.json").json
    validate(document)
    operation = document["paths"]["/metrics"]["get"]
    assert operation["security"] == [{"bearer": []}, {"apiKey": []}]
    assert operation["responses"]["200"]["content"] == {"text/plain": {"schema": {"type": "string"}}}
    assert set(operation["responses"]) == {"200", "400", "401", "404", "503"}


@pytest.mark.slow
@pytest.mark.parametrize(("setting", "output"), [("off", "False 0"), ("on", "True 1")])
def test_gunicorn_loads_the_library_and_creates_the_folder_only_with_metrics_on(
    setting: str, output: str, tmp_path: Path
) -> None:
    settings = "runpy.run_path('gunicorn.conf.py')"  # twice, as on a reload
    code = f"import os, runpy, sys; {settings}; {settings}; import wsgi"
    code += "; print('prometheus_client' in sys.modules, len(os.listdir(os.environ['TMPDIR'])))"
    (tmp_path / "tmp").mkdir()
    environment = {"METRICS": setting, "INSTANCE_PATH": str(tmp_path), "TMPDIR": str(tmp_path / "tmp")}
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ended.stdout == f"{output}\n", ended.stderr


def test_a_worker_gets_the_lowest_free_slot() -> None:
    assert [metrics.reserve_slot(taken) for taken in (set(), {"0"}, {"0", "2"}, {"1"})] == ["0", "1", "1", "0"]


@only_sqlite
def test_a_token_or_key_is_required(client: Caller, ada: Person) -> None:
    assert_error(client.get("/metrics"), 401, "unauthorized", "Invalid or missing bearer token")
    key = ada.post("/auth/keys", {"name": "prometheus"}).json["key"]
    for headers in ({"Authorization": f"Bearer {key}"}, {"x-api-key": key}):
        assert client.get("/metrics", headers=headers).status_code == 200


@only_sqlite
def test_requests_are_counted_by_route_method_and_status(ada: Person) -> None:
    prompt = ada.prompt()
    for path in (f"/prompts/{prompt['_id']}", "/prompts/prompt_1", "/prompts/prompt_2", "/prompts/no-id"):
        ada.get(path)
    ada.open("/prompts", method="HEAD")
    ada.patch(f"/prompts/{prompt['_id']}", data="{")
    Caller(ada.client).post("/prompts", {})
    assert counted(ada, REQUESTS) == {
        '{method="POST",route="/prompts",status="201"}': 1,
        '{method="POST",route="/prompts",status="401"}': 1,
        '{method="HEAD",route="/prompts",status="200"}': 1,
        '{method="GET",route="/prompts/{prompt_id}",status="200"}': 1,
        '{method="GET",route="/prompts/{prompt_id}",status="404"}': 2,
        '{method="GET",route="/prompts/{prompt_id}",status="400"}': 1,
        '{method="PATCH",route="/prompts/{prompt_id}",status="415"}': 1,
    }


@only_sqlite
def test_unknown_paths_and_methods_share_one_series(ada: Person) -> None:
    for path in ("/nope", "/nope/1", "/prompts/a/b/c", "/%ff", "/wp-admin.php?x=1"):
        ada.get(path)
    for method in ("BREW", "TRACE", "PROPFIND"):
        ada.open("/prompts", method=method)
    assert counted(ada, REQUESTS) == {
        '{method="GET",route="unknown",status="404"}': 5,
        '{method="other",route="unknown",status="405"}': 3,
    }


@only_sqlite
def test_files_are_counted_like_other_answers(ada: Person) -> None:
    ada.get("/static/docs.js")
    assert counted(ada, REQUESTS) == {'{method="GET",route="/static/{name}",status="200"}': 1}


@only_sqlite
def test_an_unexpected_exception_is_counted_as_a_500(ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    from promptcrafter.prompts import list_store

    monkeypatch.delattr(list_store, "find_prompts")
    ada.get("/prompts")
    assert counted(ada, REQUESTS) == {'{method="GET",route="/prompts",status="500"}': 1}
    assert scrape(ada)[IN_PROGRESS] == 1, "the scrape alone"


def test_a_request_is_in_progress_until_its_answer_has_been_read(ada: Person) -> None:
    ada.prompt()
    streamed = ada.client.get("/prompts", headers=ada.headers)  # not read yet
    samples = scrape(ada)
    assert samples[IN_PROGRESS] == 2, "the list and the scrape"
    assert f'{DURATION}_count{{method="GET",route="/prompts"}}' not in samples
    assert '"title":"A title"' in streamed.text
    streamed.close()
    samples = scrape(ada)
    assert samples[IN_PROGRESS] == 1
    assert samples[f'{DURATION}_count{{method="GET",route="/prompts"}}'] == 1


@only_sqlite
def test_durations_are_reported_in_buckets_from_a_millisecond_to_ten_seconds(ada: Person) -> None:
    for _ in range(3):
        ada.get("/limits")
    samples = counted(ada, DURATION)
    buckets = {
        name: value for name, value in samples.items() if name.startswith("_bucket") and 'route="/limits"' in name
    }
    bounds = [float(match[1]) for name in buckets if (match := re.search(r'le="([^"]+)"', name))]
    assert bounds == sorted(bounds)
    assert (bounds[0], bounds[-2], bounds[-1]) == (0.001, 10, float("inf"))
    assert list(buckets.values()) == sorted(buckets.values())
    assert samples['_count{method="GET",route="/limits"}'] == list(buckets.values())[-1] == 3
    assert 0 < samples['_sum{method="GET",route="/limits"}'] < 10


def test_logs_are_counted_by_source_including_each_log_of_a_batch(ada: Person) -> None:
    sources = ("native", "basalt", "agenttest", "llm", "promptfoo", "otlp")
    none = dict.fromkeys((f'{{source="{source}"}}' for source in sources), 0)
    assert counted(ada, WRITTEN) == none
    prompt = ada.prompt()
    ada.log(prompt)
    good = {"promptId": prompt["_id"], "output": "x", "modelUsed": "m"}
    ada.post("/logs/batch", {"logs": [good, {}, good, {**good, "promptId": "prompt_1"}]})
    generation = {"id": "1", "type": "generation", "output": "x"}
    ada.post("/basalt/monitor/trace", {"featureSlug": "f", "logs": [generation, {**generation, "id": "2"}]})
    ada.post("/monitor/log", {"slug": "nothing", "input": "x", "output": "x"})
    ada.post("/experiments", {"slug": "greeting", "name": "n", "variants": [{"key": "A", "trafficPercent": 1}]})
    ada.post("/experiment/greeting/log", {"variantKey": "A", "metrics": {"m": 1}})
    ada.post("/experiment/greeting/log", {"variantKey": "B"})
    written = {**none, '{source="native"}': 3, '{source="basalt"}': 3, '{source="agenttest"}': 1}
    assert counted(ada, WRITTEN) == written
    exported = ada.get("/export").data
    ada.delete(f"/prompts/{prompt['_id']}")
    ada.post("/import", data=exported, headers={"Content-Type": "application/x-ndjson"})
    assert counted(ada, WRITTEN) == {**written, '{source="native"}': 6}


def test_logs_that_are_rolled_back_are_not_counted(ada: Person) -> None:
    prompt = ada.prompt()
    values = {"prompt_id": prompt["_id"], "prompt_version": 1, "model_used": "m", "output": "x"}
    with ada.client.application.app_context():
        with suppress(InterruptedError), writing():
            logs.record_all(at_home(ada.id), [logs.prepare(values), logs.prepare(values)])
            raise InterruptedError
        with suppress(logs.ParentDeleted), writing():
            logs.record(at_home(ada.id), logs.prepare({**values, "prompt_id": "prompt_1"}))
        with writing():
            logs.record(at_home(ada.id), logs.prepare(values))
    assert counted(ada, WRITTEN)['{source="native"}'] == 1 == len(ada.get("/logs").json)


def test_the_size_of_the_database_is_reported(ada: Person, config: Config) -> None:
    ada.prompt()
    samples = scrape(ada)
    assert samples[UP] == 1
    if config.database_url.startswith("sqlite"):
        path = Path(config.database_url.removeprefix("sqlite:///"))
        log = Path(f"{path}-wal")
        assert log.stat().st_size > 0
        assert samples[SIZE] == path.stat().st_size + log.stat().st_size
    else:
        assert samples[SIZE] > 1_000_000


@only_sqlite
def test_a_database_whose_file_is_gone_is_down_and_has_no_size(ada: Person, config: Config) -> None:
    ada.get("/limits")
    Path(config.database_url.removeprefix("sqlite:///")).unlink()
    assert scrape(ada) == {UP: 0}


@only_sqlite
def test_while_the_database_is_down_only_that_is_reported_without_authentication(
    make_app: Callable[[Config], Flask], config: Config
) -> None:
    away = Config(database_url="postgresql+psycopg://nobody@127.0.0.1:1/x", jwt_secret_key=SECRET, metrics=True)
    answer = Caller(make_app(away).test_client()).get("/metrics", headers={"x-api-key": "pc_" + "x" * 43})
    assert answer.status_code == 200
    assert read(answer.text) == {UP: 0}


def test_a_database_that_is_not_migrated_is_503_as_for_other_routes(
    make_app: Callable[[Config], Flask], empty_database_url: str, config: Config
) -> None:
    app = make_app(Config(database_url=empty_database_url, jwt_secret_key=SECRET, metrics=True))
    answer = Caller(app.test_client()).get("/metrics", headers={"x-api-key": "pc_" + "x" * 43})
    assert_error(answer, 503, "database_not_migrated")


def test_the_build_is_reported(ada: Person, engine_name: str) -> None:
    assert scrape(ada)[f'promptcrafter_build_info{{database="{engine_name}",version="{VERSION}"}}'] == 1


@only_sqlite
def test_no_data_of_users_is_reported(client: Caller, ada: Person) -> None:
    ben = sign_up(client, "ben")
    prompt = ada.prompt(title="CANARY", content="CANARY", model="CANARY", tags=["CANARY"])
    log = ada.log(prompt, notes="CANARY", modelUsed="CANARY")
    ben.get(f"/logs/{log['_id']}")
    ada.get("/search?q=CANARY")
    ada.get("/basalt/prompts/CANARY")
    ada.get("/CANARY", headers={"X-Request-Id": "CANARY"})
    ada.open("/prompts", method="CANARY")
    ada.post("/monitor/log", {"slug": "CANARY", "input": "CANARY", "output": "CANARY"})
    text = ada.get("/metrics").text
    for secret in ("CANARY", ada.id, ben.id, ada.email, prompt["_id"], log["_id"], "127.0.0.1"):
        assert secret not in text


@only_sqlite
def test_events_of_langfuses_clients_that_are_dropped_are_counted(ada: Person) -> None:
    events: list[object] = [{"type": "trace-create"}, {"id": "e2", "type": "span-create", "body": {}}, "nonsense"]
    assert ada.post("/api/public/ingestion", {"batch": events}).status_code == 207
    assert counted(ada, "promptcrafter_langfuse_events_dropped_total") == {"": 2}
