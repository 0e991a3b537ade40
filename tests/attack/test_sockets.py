"""Raw HTTP against a real server: a part in every run, more of it in the heavy one."""

from __future__ import annotations

import pytest

from tests.attack.sockets import attack_server, lasting_growth

_MOST_KB = 48 * 1024


@pytest.mark.parametrize("attempts", [40, pytest.param(1600, marks=pytest.mark.heavy)])
def test_raw_attacks_on_a_real_server(attempts: int) -> None:
    figures = attack_server(seed=1, attempts=attempts)
    assert figures.faults == []
    assert figures.growth_kb < _MOST_KB


def test_what_stays_is_growth_and_a_peak_is_none() -> None:
    assert lasting_growth([100, 100, 110, 110, 160, 110, 120, 111]) == 1
    assert lasting_growth([100 + 10 * number for number in range(8)]) == 30
    assert lasting_growth([100]) == 0
