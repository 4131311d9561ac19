"""T cells that leukaemia holds away from tissue, for many patients at once, as in ``abm/model/body/organs.py``."""

from __future__ import annotations

from abm.model.body.numerics import Floats
from abm.model.body.organs import ORGANS
from abm.model.body.parameters import OrganRules


def reach(r: OrganRules, inflammation: Floats, leukaemia: Floats) -> Floats:
    """Return the share of effectors that come to harm tissue, 0-1."""
    square = inflammation * inflammation
    held = r.leukaemia_hold * leukaemia / (r.leukaemia_hold_half + leukaemia)
    return 1.0 - held * (1.0 - square / (r.injury_half * r.injury_half + square))


def alarm(r: OrganRules, held: Floats, effectors: Floats, strength: Floats) -> Floats:
    """Return the inflammation that a share ``held`` of effectors makes where leukaemia is.

    ``strength``: of killing, relative to the usual one.
    """
    there = effectors * held
    kill = r.marrow_alarm * strength * r.tissue_kill * there / (r.tissue_kill_half + there)
    skin, gut, liver = (kill * getattr(r, f"{organ}_kill") for organ in ORGANS)
    lost: Floats = (
        skin / (skin + r.tissue_repair) + gut / (gut + r.tissue_repair) + liver / (liver + r.tissue_repair)
    ) / len(ORGANS)
    return held * (r.injury_from_loss * lost + r.injury_from_killing * kill * (1.0 - lost)) / r.injury_decay
