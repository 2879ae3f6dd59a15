"""The checkers, which judge histories of trials. Importing this package fills the registry
brownout.check.registry.CHECKERS."""

import brownout.check.promises  # noqa: F401 - fills the registry
