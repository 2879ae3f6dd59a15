"""A Celery application with some of its settings replaced, for `celery -A brownout.probes.hosted`.

`BROWNOUT_CELERY` names the application as `celery -A` would. `BROWNOUT_CONF` holds the new settings as JSON.
"""

from __future__ import annotations

import json
import os

from celery.app.utils import find_app

app = find_app(os.environ["BROWNOUT_CELERY"])
if overrides := json.loads(os.environ.get("BROWNOUT_CONF") or "{}"):
    # The tasks of a finalized application keep copies of the old settings (Task.from_config).
    if app.finalized:  # type: ignore[attr-defined]  # celery-types does not know the attribute
        raise RuntimeError(f"{os.environ['BROWNOUT_CELERY']} is finalized at import, so its settings can't be replaced")
    app.conf.update(overrides)
