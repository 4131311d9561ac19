"""Directions that clinics agree on, in cohorts of patients without a lattice: the same patients in every arm."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from tests.science.well_mixed import peak_effectors

pytestmark = [pytest.mark.science, pytest.mark.slow]

PATIENTS = 16


@cache
def peaks(protocol: str) -> np.ndarray:
    """Return the decimal logarithm of the peak of alloreactive effectors of every patient."""
    return np.log10(np.maximum(peak_effectors(protocol, PATIENTS), 1.0))


def surely_less(low: str, high: str) -> bool:
    """Return whether arm ``low`` has fewer effectors: the mean of the paired differences lies 3 standard errors off."""
    gain = peaks(high) - peaks(low)
    return float(gain.mean()) > 3.0 * float(gain.std(ddof=1)) / PATIENTS**0.5


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ("gvhd_sibling", "gvhd_unrelated"),
        ("gvhd_unrelated", "gvhd_mismatched"),
        ("gvhd_blood_atg", "gvhd_blood"),
        ("gvhd_cd34_low", "gvhd_cd34_middle"),
        ("gvhd_cd34_middle", "gvhd_cd34_high"),
        ("gvhd_cd34_high", "gvhd_sibling"),
    ],
)
def test_disparity_raises_and_fewer_t_cells_lower_alloreactivity(low: str, high: str) -> None:
    assert surely_less(low, high)
