"""For all tests: no property fails because the machine was busy."""

from hypothesis import HealthCheck, settings

settings.register_profile("titand", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("titand")
