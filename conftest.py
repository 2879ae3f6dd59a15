"""The root of the tests: what Hypothesis may do on any machine."""

from hypothesis import HealthCheck, settings

# Both limits are wall times, which a busy machine exceeds.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
