"""One thing that `doctor` looked at."""

from __future__ import annotations

from typing import Literal

import msgspec

Level = Literal["ok", "warn", "fail"]


class Finding(msgspec.Struct, frozen=True):
    """`mend` says what to do, and is empty where nothing needs to be done."""

    about: str
    level: Level
    what: str
    mend: str = ""
