"""What the tests of the memory share."""

from __future__ import annotations

from tests.engine.conftest import load

__all__ = ["load"]
