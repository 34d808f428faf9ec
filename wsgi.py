"""The WSGI entry point: `gunicorn -c gunicorn.conf.py wsgi:app` and `flask --app wsgi …`."""

import gc

gc.disable()  # loaded code is never garbage, and collecting takes a quarter of the time in which a command starts

from config import Config, ConfigError
from promptcrafter import create_app

try:
    app = create_app(Config.from_env())
except ConfigError as error:
    raise SystemExit(str(error)) from None

gc.freeze()
gc.enable()
