"""Whole populations from a FHIR Bulk Data export, with the very same assessment as over HTTP.

Two pure functions do the work in both engines: `route.route` (resource line -> patient key) and
`patient.assess_patient` (one patient's resources -> row). The rooms around them:

- `export`: which files there are, what they are, and what the export never asked for
- `lines`: files into blocks of lines, plain, gzip or zstd
- `spill`, `split`: lines grouped by patient on disk, so that memory is bounded
- `medications`: shared Medication resources brought to where they are referred to
- `parts`: one partition assessed, its rows sorted
- `finish`, `tables`, `proposals`: sorted parts into NDJSON, Parquet and FHIR Bundles
- `local`, `spark`: the two engines
- `burden`, `suppress`, `compare`, `charts`, `report`: what it would mean to switch the rules on
"""
