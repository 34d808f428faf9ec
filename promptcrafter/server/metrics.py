"""What Prometheus is told at `GET /metrics`, with METRICS=on: counts, times and sizes, and nothing of the users' own.

Under Gunicorn each worker counts in files of its own, in a folder that all of them read, so that any of them tells
what all have counted. The files go by the worker's place, not by its process: whoever takes the place of a dead worker
counts on from where that one stopped. With METRICS=off, nothing here imports prometheus_client.
"""

import os
import re
import shutil
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

from flask import Flask, Response, current_app, g, request
from sqlalchemy.exc import DBAPIError, TimeoutError

from config import Config
from promptcrafter.database.errors import is_unavailable
from promptcrafter.database.session import database_size, get_engine
from promptcrafter.http import error_handlers
from promptcrafter.http.blueprint import Blueprint
from promptcrafter.logs.schemas import NATIVE, SOURCES
from promptcrafter.logs.store import recorded
from promptcrafter.permissions import Permission
from promptcrafter.version import VERSION

if TYPE_CHECKING:
    from prometheus_client import Metric

_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_OTHER_METHOD = "other"  # a client may invent any number of them
_NO_ROUTE = "unknown"
_FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # the library's name
_IN_PROGRESS = "gauge_livesum"
_FILES = ("counter", "histogram", _IN_PROGRESS)  # the library's names, too
_EMPTY = bytes(512 * 1024)  # a file of the library's without an entry; filled by some thousand
_METERS = "promptcrafter-metrics"

blueprint = Blueprint("metrics", __name__, description="For Prometheus")


@dataclass
class _Sharing:
    """Where this process counts: in a folder that others count in as well, under a name of its own; or alone."""

    folder: str = ""
    name: str = "master"


_sharing = _Sharing()


class _Meters:
    """What an application counts."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
        from prometheus_client.multiprocess import MultiProcessCollector

        disable_created_metrics()  # type: ignore[no-untyped-call]  # several workers could not tell them
        self.registry = CollectorRegistry()
        own: CollectorRegistry | None = self.registry
        if _sharing.folder:
            own = None  # what this process has counted is in the folder, too
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
        for source in SOURCES:
            self.logs.labels(_name_source(source))

    def start(self) -> None:
        self.in_progress.inc()

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
    """Count this application's requests, timed from where `server.logging` began, and the logs that it writes."""
    if config.metrics:
        meters = app.extensions[_METERS] = _Meters()
        app.before_request(meters.start)
        app.after_request(meters.finish)
        recorded.connect(_count_logs)


def blueprints(config: Config) -> list[Blueprint]:
    """Return the routes that this configuration asks for."""
    return [blueprint] if config.metrics else []


@blueprint.route("/metrics", permission=Permission.SIGNED_IN)
@blueprint.response(200, {"type": "string"}, content_type="text/plain")
def get_metrics() -> Response:
    """Tell Prometheus what has been counted and measured."""
    return _answer([*current_app.extensions[_METERS].registry.collect(), *_describe_build(), *_describe_database()])


@blueprint.errorhandler(DBAPIError)
@blueprint.errorhandler(TimeoutError)
def tell_that_the_database_is_away(error: DBAPIError | TimeoutError) -> Response:
    """Answer although nobody's key can be checked: with what `/readyz` tells everybody, too, and nothing more."""
    if isinstance(error, DBAPIError) and not is_unavailable(error):
        return error_handlers.from_database(error)
    return _answer(_describe_size(None))


def share() -> None:
    """Let the workers of this Gunicorn count together; to be called in its master, before it makes the application."""
    from prometheus_client import values

    if not _sharing.folder:  # Gunicorn reads its settings again when it is told to reload
        _sharing.folder = os.environ[_FOLDER] = mkdtemp(prefix="promptcrafter-metrics-")
        values.ValueClass = values.MultiProcessValue(lambda: _sharing.name)  # type: ignore[no-untyped-call]


def unshare() -> None:
    """Remove what `share` made."""
    if _sharing.folder:
        shutil.rmtree(_sharing.folder, ignore_errors=True)


def reserve_place(taken: Collection[str]) -> str:
    """Return the lowest place for a worker that is not taken, with the files of whoever had it before."""
    place = next(place for place in map(str, count()) if place not in taken)
    if _sharing.folder:
        _make_files(place)
    return place


def take_place(place: str) -> None:
    """Count under this name from now on; to be called in a worker."""
    _sharing.name = place


def leave_place(place: str) -> None:
    """Forget what a worker that is dead had in progress, not what it has counted."""
    if _sharing.folder:
        with suppress(FileNotFoundError), _file(place, _IN_PROGRESS).open("r+b") as file:
            file.write(_EMPTY)


def _file(place: str, kind: str) -> Path:
    return Path(_sharing.folder, f"{kind}_{place}.db")


def _make_files(place: str) -> None:
    """Make a place's files where there are none, at their full size.

    To write to a mapped file for which a full disk has no room would kill the worker.
    """
    Path(_sharing.folder).mkdir(mode=0o700, exist_ok=True)  # whoever tidies temporary folders does not ask
    for kind in _FILES:
        path = _file(place, kind)
        if not path.exists():
            draft = path.with_suffix(".new")
            with suppress(OSError):  # then the library makes it, and it grows as it may
                draft.write_bytes(_EMPTY)
                draft.rename(path)


def _count_logs(_: object, sources: Iterable[str | None]) -> None:
    meters = current_app.extensions.get(_METERS)
    if meters:  # another application in this process may have none
        for source in sources:
            meters.logs.labels(_name_source(source)).inc()


def _name_source(source: str | None) -> str:
    return "native" if source in (None, NATIVE) else str(source)


@cache
def _name_route(rule: str) -> str:
    """Return a rule as the path that the description has for it."""
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)


def _describe_build() -> "Iterator[Metric]":
    from prometheus_client.core import InfoMetricFamily

    told = {"version": VERSION, "database": get_engine().dialect.name}
    yield InfoMetricFamily("promptcrafter_build", "What is running", told)


def _describe_database() -> "Iterator[Metric]":
    try:
        size = database_size()
    except (DBAPIError, TimeoutError, OSError):
        return _describe_size(None)
    return _describe_size(size)


def _describe_size(size: int | None) -> "Iterator[Metric]":
    """Tell the size of the database in bytes, None if it is away."""
    from prometheus_client.core import GaugeMetricFamily

    yield GaugeMetricFamily("promptcrafter_database_up", "1 if the database can be used", int(size is not None))
    if size is not None:
        yield GaugeMetricFamily("promptcrafter_database_size_bytes", "Size of the database", size)


@dataclass(frozen=True)
class _Told:
    """Metrics as the library wants them."""

    metrics: "Iterable[Metric]"

    def collect(self) -> "Iterable[Metric]":
        return sorted(self.metrics, key=lambda metric: metric.name)


def _answer(metrics: "Iterable[Metric]") -> Response:
    from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

    return Response(generate_latest(_Told(metrics)), content_type=CONTENT_TYPE_PLAIN_0_0_4)
