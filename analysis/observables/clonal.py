"""Clonal haematopoiesis over years: measured by experiments such as ``chip_life``; a run is too short for it."""

from __future__ import annotations

from ..read import Run
from .registry import PERCENT, Made, observable

_MEASURED = {
    "chip_young": ("1", "1 if a clone of 2 % variant allele frequency is there at the age of 40, 0 if not."),
    "chip_old": ("1", "1 if one is there at the age of 70, 0 if not."),
    "chip_growth": (f"{PERCENT}/a", "Yearly growth of the first clone of 1 %, over ten years."),
    "chip_leukaemia": ("1", "1 if a carrier at 70 has a leukaemic stem cell by 80, 0 if not; none of others."),
    "tmn_carriers": (
        "1",
        "1 if a carrier of a clone of 2 % has a myeloid neoplasm within ten years of an autograft; none of others.",
    ),
    "tmn_others": ("1", "The same of who is no carrier when the graft is taken."),
    "tmn_clone": (PERCENT, "Largest variant allele frequency ten years after an autograft."),
}


def _absent(_run: Run) -> Made:
    return None


for _name, (_unit, _doc) in _MEASURED.items():
    _absent.__doc__ = _doc
    observable(_unit, name=_name)(_absent)
