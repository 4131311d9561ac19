"""Calibration: which values of the rule tables agree with published targets (``docs/calibration.md``)."""
