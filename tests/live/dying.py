"""The service, one worker of which dies between commit and answer when the file DIE_AFTER_COMMIT exists."""

import os
import signal
from pathlib import Path
from typing import Any

from sqlalchemy import event

from promptcrafter import db
from wsgi import app

__all__ = ["app"]
_order = Path(os.environ["DIE_AFTER_COMMIT"])


@event.listens_for(db.session, "after_commit")
def _die(session: Any) -> None:
    if _order.exists():
        _order.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
