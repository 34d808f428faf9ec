"""PromptCrafter: keeps a team's generative-AI prompts and every output they produced.

A request's whole path: `gunicorn` → `wsgi:app` → `observe` gives it an id → `auth.principal` finds out who calls →
`api` and `intake` parse and validate → a feature's `views` → its `store` → `db` → back through `api`, or through
`error_handlers`.
"""

from flask import Flask

from config import Config
from promptcrafter import api, cli, db, error_handlers, headers, metrics, observe, status
from promptcrafter.auth import principal, throttle
from promptcrafter.auth import views as auth
from promptcrafter.experiments import views as experiments
from promptcrafter.ingest import agenttest
from promptcrafter.ingest.basalt import monitor as basalt_monitor
from promptcrafter.ingest.basalt import prompts as basalt_prompts
from promptcrafter.ingest.basalt import root as basalt_root
from promptcrafter.logs import usage
from promptcrafter.logs import views as logs
from promptcrafter.prompts import views as prompts
from promptcrafter.stats import views as stats
from promptcrafter.traces import views as traces
from promptcrafter.transfer import views as transfer
from promptcrafter.web import views as web


def create_app(config: Config) -> Flask:
    """Build the application from its configuration."""
    app = Flask(__name__, static_folder=None)
    # no view is a coroutine: Flask would look at each, and at each hook, at every request
    app.ensure_sync = lambda view: view  # type: ignore[assignment, method-assign]
    app.config.update(
        SIGNUP=config.signup,
        MAX_OUTPUT_BYTES=config.max_output_bytes,
        MAX_IMPORT_BYTES=config.max_import_bytes,
    )
    observe.init_app(app)
    metrics.init_app(app, config)
    error_handlers.init_app(app)
    db.init_app(app, config)
    principal.init_app(app, config)
    throttle.init_app(app, config)
    usage.init_app(app, config)
    dialects = (agenttest, basalt_monitor, basalt_prompts)
    features = (auth, prompts, logs, traces, experiments, *dialects, stats, transfer, status)
    api.init_app(app, config, [feature.blueprint for feature in features] + metrics.blueprints(config))
    headers.init_app(app)
    basalt_root.init_app(app)
    app.register_blueprint(web.blueprint)
    cli.init_app(app)
    return app
