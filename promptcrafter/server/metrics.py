"""Metrics for Prometheus at `GET /metrics`, with METRICS=on: counts, durations and sizes, without any data of users.

Under Gunicorn each worker counts in files of its own, in a folder that all workers read, so that a scrape of any worker
reports the sum over all of them. The files are named after the worker's slot, not after its process: the worker that
takes the slot of an exited one continues its counts (decision record 14). With METRICS=off, prometheus_client is not
imported.
"""

import os
import re
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import chain, count
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from typing import TYPE_CHECKING

from flask import Flask, Response, current_app, g, request
from sqlalchemy.exc import DBAPIError, TimeoutError

from config import Config, ConfigError
from promptcrafter.database.base import Deletable
from promptcrafter.database.deletions import count_pending, purged
from promptcrafter.database.errors import is_unavailable
from promptcrafter.database.session import database_size, get_engine
from promptcrafter.dialects.langfuse.views_scores import events_dropped
from promptcrafter.dialects.otlp.outcomes import OUTCOMES, items_handled
from promptcrafter.http import error_handlers
from promptcrafter.http.blueprint import Blueprint
from promptcrafter.logs.fields import NATIVE, SOURCES
from promptcrafter.logs.store import logs_committed
from promptcrafter.permissions import Permission
from promptcrafter.server.incoming import BodyWanted
from promptcrafter.traces import early_arrivals
from promptcrafter.version import VERSION

if TYPE_CHECKING:
    from prometheus_client import Metric

_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_OTHER_METHOD = "other"  # clients may send any method, and each would add a time series
_NO_ROUTE = "unknown"
_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # the library's name
_IN_PROGRESS = "gauge_livesum"
_FILES = ("counter", "histogram", _IN_PROGRESS)  # the library's names
_EMPTY = bytes(512 * 1024)  # a file of the library without an entry; it holds several thousand
_METERS = "promptcrafter-metrics"

blueprint = Blueprint("metrics", __name__, description="For Prometheus")


@dataclass
class _Sharing:
    """Where this process counts: in files of the shared folder named after `name`, or, without a folder, in memory."""

    folder: str = ""
    name: str = "master"


_sharing = _Sharing()


class _Meters:
    """The meters of an application."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
        from prometheus_client.multiprocess import MultiProcessCollector

        disable_created_metrics()  # type: ignore[no-untyped-call]  # not available from several workers
        self.registry = CollectorRegistry()
        own: CollectorRegistry | None = self.registry
        if _sharing.folder:
            own = None  # the folder includes what this process has counted
            MultiProcessCollector(self.registry, _sharing.folder)  # type: ignore[no-untyped-call]
        self.requests = Counter(
            "promptcrafter_http_requests_total",
            "Requests answered",
            ("method", "route", "status"),
            registry=own,
        )
        self.durations = Histogram(
            "promptcrafter_http_request_duration_seconds",
            "Time until the end of the answer",
            ("method", "route"),
            buckets=_BUCKETS_S,
            registry=own,
        )
        self.in_progress = Gauge(
            "promptcrafter_http_requests_in_progress",
            "Requests being answered",
            multiprocess_mode="livesum",
            registry=own,
        )
        self.logs = Counter("promptcrafter_logs_written_total", "Logs written", ("source",), registry=own)
        self.purged = Counter(
            "promptcrafter_purged_rows_total", "Rows removed of what was deleted before", registry=own
        )
        self.langfuse_events = Counter(
            "promptcrafter_langfuse_events_dropped_total",
            "Events of Langfuse's clients that are no scores",
            registry=own,
        )
        self.otlp_items = Counter(
            "promptcrafter_otlp_items_total",
            "Spans, log records and metric points received from OpenTelemetry's exporters, by what became of them",
            ("item", "outcome"),
            registry=own,
        )
        for item, outcomes in OUTCOMES.items():
            for outcome in outcomes:
                self.otlp_items.labels(item, outcome)
        self.dropped_arrivals = Counter(
            "promptcrafter_early_arrivals_dropped_total",
            "Scores and content that waited for their span in vain",
            ("kind",),
            registry=own,
        )
        for kind in early_arrivals.KINDS:
            self.dropped_arrivals.labels(kind)
        for source in SOURCES:
            self.logs.labels(_name_source(source))

    def start(self) -> None:
        self.in_progress.inc()

    def abandon(self, error: BaseException | None) -> None:
        """Forget a request that is answered later, when its body has been collected."""
        if isinstance(error, BodyWanted):
            self.in_progress.dec()

    def finish(self, response: Response) -> Response:
        method = request.method if request.method in _METHODS else _OTHER_METHOD
        route = _name_route(request.url_rule.rule) if request.url_rule else _NO_ROUTE
        status, started = response.status_code, g.started

        def count_request() -> None:
            self.in_progress.dec()
            self.requests.labels(method, route, status).inc()
            self.durations.labels(method, route).observe(time.perf_counter() - started)

        response.call_on_close(count_request)
        return response


def init_app(app: Flask, config: Config) -> None:
    """Count this application's requests, timed from `g.started` of `server.logging`, and the logs that it writes."""
    if config.metrics:
        meters = app.extensions[_METERS] = _Meters()
        app.before_request(meters.start)
        app.after_request(meters.finish)
        app.teardown_request(meters.abandon)
        logs_committed.connect(_count_logs)
        purged.connect(_count_purged)
        events_dropped.connect(_count_langfuse_events)
        items_handled.connect(_count_otlp_items)
        early_arrivals.arrivals_dropped.connect(_count_dropped_arrivals)


def blueprints(config: Config) -> list[Blueprint]:
    """Return the blueprint of `/metrics`, or an empty list with METRICS=off."""
    return [blueprint] if config.metrics else []


@blueprint.route("/metrics", permission=Permission.SIGNED_IN)
@blueprint.response(200, {"type": "string"}, content_type="text/plain")
def get_metrics() -> Response:
    """Report all counts and measurements to Prometheus."""
    return _answer([*current_app.extensions[_METERS].registry.collect(), *_describe_build(), *_describe_database()])


@blueprint.errorhandler(DBAPIError)
@blueprint.errorhandler(TimeoutError)
def report_database_down(error: DBAPIError | TimeoutError) -> Response:
    """With the database down no key can be verified: report only `promptcrafter_database_up 0`.

    `/readyz` exposes the same fact without authentication anyway.
    """
    if isinstance(error, DBAPIError) and not is_unavailable(error):
        return error_handlers.from_database(error)
    return _answer(_describe_size(None))


def share(config: Config) -> None:
    """With METRICS=on, create the folder in which workers count together, with the files of the master and of all.

    Call it in Gunicorn's master, before `create_app`. Raises ConfigError if there is no room for them: a write to a
    memory-mapped file for which the disk has no room would kill the process.
    """
    if not config.metrics or _sharing.folder:  # Gunicorn reads its settings again on a reload
        return
    from prometheus_client import values

    try:
        _sharing.folder = mkdtemp(prefix="promptcrafter-metrics-")
        for name in (_sharing.name, *map(str, range(config.web_concurrency))):
            _create_files(name)
    except OSError as error:
        unshare()
        _sharing.folder = ""
        size = (1 + config.web_concurrency) * len(_FILES) * len(_EMPTY)
        raise ConfigError(
            f"METRICS is on and takes {size:,} bytes in {_describe_folder()}, where they cannot be written: "
            f"{error.strerror}. Set TMPDIR to another folder."
        ) from error
    os.environ[_FOLDER_VARIABLE] = _sharing.folder
    values.ValueClass = values.MultiProcessValue(lambda: _sharing.name)  # type: ignore[no-untyped-call]


def unshare() -> None:
    """Remove the folder that `share` has created."""
    if _sharing.folder:
        shutil.rmtree(_sharing.folder, ignore_errors=True)


def reserve_slot(taken: Collection[str]) -> str:
    """Return the lowest free slot (`"0"`, `"1"`, …) for a new worker; create its files unless a worker had it before.

    Call it in Gunicorn's master. `taken` has the slots of the running workers.
    """
    slot = next(slot for slot in map(str, count()) if slot not in taken)
    if _sharing.folder:
        with suppress(OSError):  # if this fails, the library creates the file and lets it grow
            _create_files(slot)
    return slot


def take_slot(slot: str) -> None:
    """Count in the files of `slot` from now on. Call it in the worker."""
    _sharing.name = slot


def leave_slot(slot: str) -> None:
    """Reset the gauge of requests in progress of a worker that has exited; its counters stay. Call it in the master."""
    if _sharing.folder:
        with suppress(FileNotFoundError), _file(slot, _IN_PROGRESS).open("r+b") as file:
            file.write(_EMPTY)


def _file(slot: str, kind: str) -> Path:
    return Path(_sharing.folder, f"{kind}_{slot}.db")


def _create_files(slot: str) -> None:
    """Create the missing files of a slot at their full size. Raises OSError."""
    Path(_sharing.folder).mkdir(mode=0o700, exist_ok=True)  # the system may have cleaned up its temporary folders
    for kind in _FILES:
        path = _file(slot, kind)
        if not path.exists():
            draft = path.with_suffix(".new")
            draft.write_bytes(_EMPTY)
            draft.rename(path)


def _describe_folder() -> str:
    try:
        return gettempdir()
    except FileNotFoundError:
        return "a temporary folder"


def _count_logs(_: object, sources: Iterable[str | None]) -> None:
    meters = current_app.extensions.get(_METERS)
    if meters:  # tests may create another application without metrics in this process
        for source in sources:
            meters.logs.labels(_name_source(source)).inc()


def _count_purged(_: object, rows: int) -> None:
    meters = current_app.extensions.get(_METERS)
    if meters:
        meters.purged.inc(rows)


def _count_langfuse_events(_: object, number: int) -> None:
    meters = current_app.extensions.get(_METERS)
    if meters:
        meters.langfuse_events.inc(number)


def _count_otlp_items(_: object, item: str, outcomes: Mapping[str, int]) -> None:
    meters = current_app.extensions.get(_METERS)
    if meters:
        for outcome, number in outcomes.items():
            if number:
                meters.otlp_items.labels(item, outcome).inc(number)


def _count_dropped_arrivals(_: object, kinds: Mapping[str, int]) -> None:
    meters = current_app.extensions.get(_METERS)
    if meters:
        for kind, number in kinds.items():
            meters.dropped_arrivals.labels(kind).inc(number)


def _name_source(source: str | None) -> str:
    return "native" if source in (None, NATIVE) else str(source)


@cache
def _name_route(rule: str) -> str:
    """Return a rule as the API description writes its path: `/prompts/{prompt_id}`."""
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)


def _describe_build() -> "Iterator[Metric]":
    from prometheus_client.core import InfoMetricFamily

    labels = {"version": VERSION, "database": get_engine().dialect.name}
    yield InfoMetricFamily("promptcrafter_build", "What is running", labels)


def _describe_database() -> "Iterator[Metric]":
    try:
        size, pending, waiting = database_size(), count_pending(), early_arrivals.count_waiting()
    except (DBAPIError, TimeoutError, OSError):
        return _describe_size(None)
    return chain(_describe_size(size), _describe_deletions(pending), _describe_early_arrivals(waiting))


def _describe_size(size: int | None) -> "Iterator[Metric]":
    """Yield whether the database is up and its size in bytes; `size` is None if it is down."""
    from prometheus_client.core import GaugeMetricFamily

    yield GaugeMetricFamily("promptcrafter_database_up", "1 if the database can be used", int(size is not None))
    if size is not None:
        yield GaugeMetricFamily("promptcrafter_database_size_bytes", "Size of the database", size)


def _describe_deletions(pending: Mapping[str, int]) -> "Iterator[Metric]":
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(
        "promptcrafter_pending_deletions", "What is deleted, and whose rows are still to be removed", labels=("kind",)
    )
    for kind in (model.kind for model in Deletable.each_model() if model.has_parts):
        family.add_metric([kind], pending.get(kind, 0))
    yield family


def _describe_early_arrivals(waiting: Mapping[str, int]) -> "Iterator[Metric]":
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(
        "promptcrafter_early_arrivals", "Scores and content that wait for their span", labels=("kind",)
    )
    for kind in early_arrivals.KINDS:
        family.add_metric([kind], waiting.get(kind, 0))
    yield family


@dataclass(frozen=True)
class _Collector:
    """Metrics in the form that the library's `generate_latest` takes, sorted by name."""

    metrics: "Iterable[Metric]"

    def collect(self) -> "Iterable[Metric]":
        return sorted(self.metrics, key=lambda metric: metric.name)


def _answer(metrics: "Iterable[Metric]") -> Response:
    from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

    return Response(generate_latest(_Collector(metrics)), content_type=CONTENT_TYPE_PLAIN_0_0_4)
