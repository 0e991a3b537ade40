"""The command line as a file, which is what `spark-submit` takes: ``spark-submit job.py screen EXPORT ...``."""

from __future__ import annotations

import importlib

if __name__ == "__main__":
    importlib.import_module("cds_service.cli").main(prog_name="legcramp")
