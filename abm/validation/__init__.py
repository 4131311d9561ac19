"""Comparison with published data: targets as data, cohorts of runs, statistics, a verdict for every target."""
