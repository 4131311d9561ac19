"""What is reported: derived numbers from the exact counts and the body."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from abm.cells import FIRST_MOTILE, LOSS_ANTIGENS, MARKS, N_VARIANTS, Count, EditBit, Flag, Kind, Origin
from abm.model.body.hiv_marrow import INFECTED, WITH_CCR5
from abm.model.rules import Rules

#: name -> (unit, meaning) of the observables made here; those of the body come with the body.
OBSERVABLES: dict[str, tuple[str, str]] = {
    "blast_percent": ("%", "leukaemic share of nucleated resident marrow cells"),
    "donor_percent": ("%", "donor share of myeloid marrow cells (granulocytic and monocytic lineages)"),
    "donor_hsc": ("1", "donor share of HSC"),
    "labelled_hsc": ("1", "share of HSC that carry a label"),
    "edited_hsc": ("1", "share of HSC that carry an edit"),
    "myeloid_erythroid_ratio": ("1", "myeloid over nucleated erythroid marrow cells"),
    "niche_occupancy": ("1", "share of HSC niches that hold an HSC or LSC"),
    "agents": ("1", "cells in both layers"),
    "marrow_hiv": ("1", "infected share of the CD4 cells of the lattice that HIV enters by CCR5"),
    "marrow_hiv_agents": ("1", "cells with HIV on the lattice, latent ones included"),
}

OBSERVABLES |= {
    f"lost_{antigen.name.lower()}": ("1", f"share of leukaemic cells that have lost {antigen.name}")
    for antigen in LOSS_ANTIGENS
}
OBSERVABLES |= {
    f"variant_{n}": ("1", f"share of leukaemic cells of variant {n} (variants.csv)") for n in range(1, N_VARIANTS)
}
OBSERVABLES |= {f"hsc_variant_{n}": ("1", f"share of HSC of variant {n} (variants.csv)") for n in range(1, N_VARIANTS)}
OBSERVABLES["damaged"] = ("1", "share of resident marrow cells with sub-lethal damage by hits")
OBSERVABLES["vaf"] = (
    "1",
    "variant allele frequency in myeloid marrow cells: half of the share that are variants",
)


def marrow(counts: NDArray[np.int64], rules: Rules, n_niches: int) -> dict[str, float]:
    """Return the observables of the patch.

    Args:
        counts: int64 (N_COUNTS, 64, 4).
        rules: rule tables (lineages, flags).
        n_niches: HSC niches in the patch.
    """
    population = counts[Count.POPULATION]
    by_kind = population.sum(axis=1)
    resident = by_kind[1:40].sum() - by_kind[Kind.RETICULOCYTE]
    myeloid = population[rules.lineage("neutrophil", "eosinophil", "monocyte")].sum(axis=0)
    erythroid = by_kind[rules.lineage("erythroid")].sum() - by_kind[Kind.RETICULOCYTE]
    hsc, infected = population[Kind.HSC], by_kind[list(INFECTED)].sum()
    return {
        "blast_percent": 100.0 * _share(by_kind[rules.mask(Flag.LEUKAEMIC)].sum(), resident),
        "donor_percent": 100.0 * _share(myeloid[Origin.DONOR :].sum(), myeloid.sum()),
        "donor_hsc": _share(hsc[Origin.DONOR :].sum(), hsc.sum()),
        "labelled_hsc": _share(counts[Count.LABELLED, Kind.HSC].sum(), hsc.sum()),
        "myeloid_erythroid_ratio": _share(myeloid.sum(), erythroid),
        "niche_occupancy": _share(counts[Count.NICHE, [Kind.HSC, Kind.LSC]].sum(), n_niches),
        "agents": float(by_kind.sum()),
        "marrow_hiv_agents": float(infected),
        "marrow_hiv": _share(infected, infected + by_kind[list(WITH_CCR5)].sum()),
    }


def inherited(marks: NDArray[np.int64], counts: NDArray[np.int64], rules: Rules) -> dict[str, float]:
    """Return the shares of leukaemic cells that lost an antigen or are a variant, of stem cells, of the damaged.

    Args:
        marks: int64 (N_MARKS, 64, 4).
        counts: int64 (N_COUNTS, 64, 4).
        rules: rule tables (flags).
    """
    leukaemic = rules.mask(Flag.LEUKAEMIC)
    all_of_them = counts[Count.POPULATION][leukaemic].sum()
    carry = marks[:, leukaemic].sum(axis=(1, 2))
    losses, variants = (carry[first : first + n] for first, n in (MARKS["loss"], MARKS["variant"]))
    first, n = MARKS["variant"]
    of_kind, population = marks[first : first + n].sum(axis=2), counts[Count.POPULATION].sum(axis=1)
    myeloid = rules.lineage("neutrophil", "eosinophil", "monocyte")
    shares = {f"lost_{a.name.lower()}": _share(n, all_of_them) for a, n in zip(LOSS_ANTIGENS, losses, strict=True)}
    edited = marks[MARKS["edit"][0] + EditBit.EDITED, Kind.HSC].sum()
    shares["edited_hsc"] = _share(edited, population[Kind.HSC])
    shares |= {f"variant_{k}": _share(n, all_of_them) for k, n in enumerate(variants, 1)}
    shares |= {f"hsc_variant_{k}": _share(n, population[Kind.HSC]) for k, n in enumerate(of_kind[:, Kind.HSC], 1)}
    shares["damaged"] = _share(marks[MARKS["damage"][0]].sum(), population[:FIRST_MOTILE].sum())
    return shares | {"vaf": 0.5 * _share(of_kind[:, myeloid].sum(), population[myeloid].sum())}


def _share(part: np.int64, whole: np.int64 | int) -> float:
    return float(part) / float(whole) if whole else 0.0
