"""An application with some of Celery's settings laid over its own: `celery -A brownout.probes.hosted`.

`BROWNOUT_CELERY` is what `celery -A` would take; `BROWNOUT_CONF` holds the settings, as JSON.
"""

from __future__ import annotations

import json
import os

from celery.app.utils import find_app

app = find_app(os.environ["BROWNOUT_CELERY"])
if overrides := json.loads(os.environ.get("BROWNOUT_CONF") or "{}"):
    # Its tasks would have copied their settings already (Task.from_config), and would keep those.
    if app.finalized:  # type: ignore[attr-defined]  # celery-types does not know it
        raise RuntimeError(f"{os.environ['BROWNOUT_CELERY']} is finalized at import, so settings can't be laid over it")
    app.conf.update(overrides)
