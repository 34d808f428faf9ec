"""The service with a crash on demand: if the file DIE_AFTER_COMMIT exists, a worker is killed before it responds."""

import os
import signal
from pathlib import Path

from flask import Response

from wsgi import app

__all__ = ["app"]
_order = Path(os.environ["DIE_AFTER_COMMIT"])


@app.after_request
def _die(response: Response) -> Response:
    if _order.exists():
        _order.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return response
