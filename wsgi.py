"""The WSGI entry point: `gunicorn -c gunicorn.conf.py wsgi:app` and `flask --app wsgi …`."""

from config import Config
from promptcrafter import create_app

app = create_app(Config.from_env_or_exit())
