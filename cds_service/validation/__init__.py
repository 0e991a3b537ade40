"""What the contributor tier is worth on real people: a documented table in, discrimination and odds ratios out.

One room per job: `columns` describes the table, `table` reads it strictly, `record` makes a FHIR record of each
respondent, `people` runs the same `assess` on it, `design`, `auc` and `logistic` are the statistics, `models` the
baselines, `contributors` the odds ratios beside the points, `propose` a second tier version, `report` puts it all
together, and `words`, `charts`, `show` write it down. Statistics need the extra ``[validation]``.
"""
