"""PromptCrafter: a self-hosted service that stores a team's prompts and logs every output of them.

The package is divided into rooms, whose imports go down only: the modules beside the folders, `database`, `http`, the
features (`auth` to `experiments`), `dialects` and `transfer`, `maintenance`, `pages`, `cli` and `server`. This module
connects them to an application. ARCHITECTURE.md is the map: what each room may import, the path of a request, and where
to add something.
"""

from flask import Flask

from config import Config
from promptcrafter import cli
from promptcrafter.auth import credentials, hashing, throttle
from promptcrafter.database import session as database
from promptcrafter.database import storage
from promptcrafter.dialects import agenttest
from promptcrafter.dialects.basalt import middleware as basalt_middleware
from promptcrafter.dialects.basalt import views_monitor as basalt_monitor
from promptcrafter.dialects.basalt import views_prompts as basalt_prompts
from promptcrafter.dialects.langfuse import views_prompts as langfuse_prompts
from promptcrafter.dialects.langfuse import views_scores as langfuse_scores
from promptcrafter.dialects.langfuse import views_service as langfuse_service
from promptcrafter.dialects.otlp import responses as otlp_responses
from promptcrafter.dialects.otlp import views as otlp
from promptcrafter.experiments import views as experiments
from promptcrafter.http import blueprint, compression, cors, error_handlers, headers, prefix, route
from promptcrafter.logs import prices, search, token_costs
from promptcrafter.logs import views as logs
from promptcrafter.pages import (
    compare_page,
    docs,
    experiments_page,
    home,
    outputs,
    prompt,
    prompt_form,
    prompts_page,
    rendering,
    review,
    runs,
    settings_account,
    settings_audit,
    settings_keys,
    settings_scores,
    settings_team,
    settings_transfer,
    settings_workspace,
    sign_in,
    statistics_page,
)
from promptcrafter.pages import errors as page_errors
from promptcrafter.pages.blueprint import ROOT
from promptcrafter.prompts import views as prompts
from promptcrafter.scores import views as scores
from promptcrafter.scores import views_reviews as reviews
from promptcrafter.server import chunked_bodies, logging, metrics, purger, status
from promptcrafter.statistics import views as statistics
from promptcrafter.traces import views as traces
from promptcrafter.transfer import views as transfer
from promptcrafter.workspaces import authentication, quota, views_accounts
from promptcrafter.workspaces import views as workspaces

PAGES = (
    *(docs, sign_in, home, prompts_page, prompt, prompt_form, outputs, compare_page, review, statistics_page),
    *(experiments_page, runs, settings_team, settings_workspace, settings_scores, settings_keys),
    *(settings_transfer, settings_account, settings_audit),
)


def create_app(config: Config) -> Flask:
    """Build the application from its configuration. Raises ConfigError if a file that it names is unusable."""
    app = Flask(__name__, static_folder=None)
    # Flask checks at every request whether a view or hook is a coroutine; none is, so skip the check
    app.ensure_sync = lambda view: view  # type: ignore[assignment, method-assign]
    app.config.update(
        SIGNUP=config.signup,
        MAX_OUTPUT_BYTES=config.max_output_bytes,
        MAX_IMPORT_BYTES=config.max_import_bytes,
        MAX_OTLP_BYTES=config.max_otlp_bytes,
        OTLP_MEDIA=config.otlp_media,
    )
    logging.init_app(app)
    metrics.init_app(app, config)
    cors.init_app(app, config)
    error_handlers.init_app(app)
    database.init_app(app, config)
    storage.init_app(app)
    quota.init_app(app, config)
    purger.init_app(app)
    credentials.init_app(app, config)
    authentication.init_app(app)
    throttle.init_app(app, config)
    hashing.init_app(app, config)
    search.init_app(app, config)
    token_costs.init_app(app, config)
    prices.init_app(app, config)
    dialects = (agenttest, basalt_monitor, basalt_prompts, otlp, langfuse_prompts, langfuse_scores, langfuse_service)
    features = (
        views_accounts,
        workspaces,
        prompts,
        logs,
        scores,
        reviews,
        traces,
        experiments,
        *dialects,
        statistics,
        transfer,
        status,
    )
    blueprint.init_app(app, config, [feature.blueprint for feature in features] + metrics.blueprints(config))
    compression.init_app(app)
    headers.init_app(app)
    otlp_responses.init_app(app)
    langfuse_service.init_app(app)
    basalt_middleware.init_app(app)
    chunked_bodies.init_app(app)
    for page in PAGES:
        app.register_blueprint(page.blueprint)
    rendering.init_app(app)
    page_errors.init_app(app, ROOT)
    prefix.init_app(app, config)
    cli.init_app(app, config)
    route.refuse_undeclared(app)
    return app
