"""A small patient who goes through everything in a few days: leukaemia, drugs, radiation, graft, immune cells."""

from __future__ import annotations

from abm.config import Config

TINY: dict[str, object] = {
    "seed": 7,
    "patch": {"shape": [18, 14, 13]},
    "time": {"start_day": -2.0, "end_day": 2.0},
    "patient": {"disease": "aml", "blast_fraction": 0.3, "donor": "haplo"},
    "events": [
        {"day": -2.0, "action": "chemo", "drug": "busulfan", "dose_mg_per_kg": 3.2, "doses": 2, "every_h": 12},
        {"day": -1.0, "action": "tbi", "dose_gy": 4.0, "fractions": 2, "every_h": 6},
        {"day": -1.0, "action": "drug", "drug": "ciclosporin", "level": 0.5, "until_day": 1.5, "taper_days": 1.0},
        {"day": -1.0, "action": "graft", "source": "blood", "cd34_per_kg": 2e8, "cd3_per_kg": 2e9},
        {"day": -0.5, "action": "label", "marker": "histone"},
        {"day": 0.25, "action": "label", "marker": "dna"},
        {"day": 0.5, "action": "gcsf", "dose_ug_per_kg": 5.0, "doses": 2},
    ],
}


def tiny_config(**changes: object) -> Config:
    """Return the tiny patient; keyword arguments replace whole tables."""
    return Config.model_validate(TINY | changes)
