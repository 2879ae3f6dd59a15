"""The checkers: functions that judge the recorded history of a trial. Importing this package fills the registry
brownout.check.registry.CHECKERS."""

import brownout.check.promises  # noqa: F401 - fills the registry
