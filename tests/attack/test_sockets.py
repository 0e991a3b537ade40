"""Raw HTTP against a real server: a part in every run, more of it in the heavy one."""

from __future__ import annotations

import pytest

from tests.attack.sockets import attack_server

_MOST_KB = 48 * 1024


@pytest.mark.parametrize("attempts", [40, pytest.param(600, marks=pytest.mark.heavy)])
def test_raw_attacks_on_a_real_server(attempts: int) -> None:
    figures = attack_server(seed=1, attempts=attempts)
    assert figures.faults == []
    assert figures.growth_kb < _MOST_KB
