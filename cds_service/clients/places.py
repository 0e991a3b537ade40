"""On which line of a TOML file something stands. tomllib keeps no places, and an error without one is half an error."""

from __future__ import annotations

import re

_TABLE = re.compile(r"\[\[?\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"""("(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+)\s*[.=]""")


class Places:
    """The lines of `[[client]]` tables and of the keys in and below them."""

    def __init__(self, text: str) -> None:
        self._lines: dict[tuple[int, str, str], int] = {}
        count, client, table = -1, -1, ""
        for number, line in enumerate(text.splitlines(), start=1):
            line = line.strip()
            if header := _TABLE.match(line):
                name = header[1].replace(" ", "").replace('"', "")
                top, _, table = name.partition(".")
                if name == "client" and line.startswith("[["):
                    count += 1
                client = count if top == "client" else -1
                first, _, rest = (table or ("" if client >= 0 else top)).partition(".")
                for place in ((client, "", first), (client, first, rest), (client, table, "")):
                    self._lines.setdefault(place, number)
            elif key := _KEY.match(line):
                self._lines.setdefault((client, table, key[1].strip("\"'")), number)

    def line(self, client: int, table: str = "", key: str = "") -> int:
        """The line of a key, else of its table, else of its client; 1 when nothing is known. Client -1: the top."""
        lines = self._lines
        for place in ((client, table, key), (client, "", table), (client, "", "")):
            if place in lines:
                return lines[place]
        return 1
