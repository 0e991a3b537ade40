"""Reads what value sets are made from: YAML and CSV, of tools/value-set-sources/ or of a folder of published lists."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import yaml

SOURCES = Path(__file__).resolve().parent / "value-set-sources"


class _UniqueKeys(yaml.SafeLoader):
    """YAML in which a key given twice is an error."""


def _mapping(loader: _UniqueKeys, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]
    for key in keys:
        if keys.count(key) > 1:
            raise ValueError(f"{node.start_mark}: {key!r} is given twice")
    return {loader.construct_object(k, deep=True): loader.construct_object(v, deep=True) for k, v in node.value}


_UniqueKeys.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_yaml(name: str) -> Any:
    return yaml.load((SOURCES / name).read_text(encoding="utf-8"), _UniqueKeys)  # noqa: S506 - a SafeLoader


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
