"""What all tests share: no test is judged by how fast a shared machine happens to be, nor by luck.

Generated cases are the same on every run, so that a red run always means that something changed. Looking for new ones:
`make test ARGS="--hypothesis-profile=explore"`; what it finds becomes a test of its own.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same-every-time", parent=settings.get_profile("explore"), derandomize=True)
settings.load_profile("same-every-time")
