"""The leukaemia of one patient: rates and pace of its stem cells, and how many of them an agent stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from abm.cells import GAIN_VARIANT, LOSS_ANTIGENS, N_VARIANTS, Antigen, Behaviour, Flag, Kind, Specificity
from abm.config_events import Antibody
from abm.exactmath import LN2
from abm.model.body.escape import HAPLOIDENTICAL
from abm.model.body.residue import StemCells
from abm.model.heredity import Mutation, Subclone, Variants
from abm.model.recognition import Recognition
from abm.model.rules import Rules

if TYPE_CHECKING:
    from abm.config import Config
    from abm.model.body.given import Tables

#: Behaviours whose rate the pace of a leukaemia changes.
_PACED = (Behaviour.SWITCH, Behaviour.DIVIDE, Behaviour.MATURE, Behaviour.DIE, Behaviour.EGRESS)


def check(config: Config, tables: Tables) -> None:
    """Check what the scenario says of its leukaemia.

    Raises:
        ConfigError: it says it of a patient who has none, or asks to follow what cannot be followed below one agent.
    """
    patient = config.patient
    for name in ("residual_leukaemia", "lsc_frequency", "residual_doubling_days"):
        if (found := getattr(patient, name)) and not patient.blast_fraction:
            shown = "true" if found is True else f"{found:g}"
            message = f"expected blast_fraction > 0, however small, with {name} = {shown}; found 0"
            raise config.error(f"patient.{name}", message)
    if not patient.residual_leukaemia:
        return
    if tables.residue is None:
        message = f"expected false, found true; there is no residue.csv for {config.patch.species}"
        raise config.error("patient.residual_leukaemia", message)
    for index, event in enumerate(config.events):
        drug = tables.antibodies.get(event.drug) if isinstance(event, Antibody) else None
        if drug is not None and drug.antigen is not None:
            message = (
                f"expected one against a checkpoint with residual_leukaemia = true, found {drug.name}: "
                "what it kills is followed in agents only"
            )
            raise config.error(f"events.{index}.action", message)


def growth(rules: Rules, open_share: float) -> float:
    """Return the net growth rate per day of leukaemic stem cells in a full marrow, where they wake, divide and rest."""
    resting, cycling = rules.base[Kind.LSC * 2], rules.base[Kind.LSC * 2 + 1]
    wake, divide = float(resting[Behaviour.SWITCH]), float(cycling[Behaviour.DIVIDE]) * open_share
    gain, both = 2.0 * float(cycling[Behaviour.RENEW]) - 1.0, wake + divide
    return (sqrt(both * both + 4.0 * wake * divide * gain) - both) / 2.0 - float(cycling[Behaviour.DIE])


def of_patient(rules: Rules, open_share: float, config: Config) -> Rules:
    """Return the rules with a leukaemia that is as fast, and as well seen by lymphocytes, as that of this patient.

    Raises:
        ConfigError: a doubling time is asked for of what does not grow.
    """
    wanted, seen, pace = config.patient.residual_doubling_days, config.patient.leukaemia_immunogenicity, 1.0
    if wanted is not None:
        if (now := growth(rules, open_share)) <= 0.0:
            message = f"expected nothing for a disease whose stem cells do not grow ({now:.2g} a day), found {wanted:g}"
            raise config.error("patient.residual_doubling_days", message)
        pace = LN2 / wanted / now
    if pace == seen == 1.0:
        return rules
    base, leukaemic = rules.base.copy(), np.repeat(rules.mask(Flag.LEUKAEMIC), 2)
    for behaviour in _PACED:
        base[leukaemic, behaviour] *= pace
    base[leukaemic, Behaviour.KILL] *= seen
    return replace(rules, base=base)


def stem_cells(
    rules: Rules, traffic: Mapping[str, float], frequency: float, marrow_cells: float, cells_per_agent: float,
    blast_fraction: float,
) -> StemCells:  # fmt: skip
    """Return what is followed of the stem cells of a leukaemia.

    Args:
        rules: rule tables, as fast as in this patient.
        traffic: values of ``traffic.csv``.
        frequency: stem cells among leukaemic cells in life.
        marrow_cells: cells of the whole marrow.
        cells_per_agent: real cells for which an agent stands.
        blast_fraction: leukaemic share of the marrow at the start.
    """
    resting, cycling = rules.base[Kind.LSC * 2], rules.base[Kind.LSC * 2 + 1]
    return StemCells(
        wake=float(resting[Behaviour.SWITCH]),
        divide=float(cycling[Behaviour.DIVIDE]),
        renew=float(cycling[Behaviour.RENEW]),
        die=float(cycling[Behaviour.DIE]),
        resting=traffic["quiescent_lsc"],
        open_share=traffic["open_share"],
        per_agent=frequency * cells_per_agent / traffic["lsc_share"],
        full=frequency * marrow_cells,
        start=frequency * marrow_cells * blast_fraction,
    )


def hidden(
    recognition: Recognition, classes: Sequence[Specificity], subclones: Sequence[Subclone]
) -> tuple[int, float]:
    """Return the loss bits that hide leukaemic stem cells from receptor classes, and the share with them at the start.

    Both are 0 if nothing that a cell can lose hides it from all of the classes.
    """
    bits, share = 0, 1.0
    for antigen in Antigen:
        if not any(int(recognition.receptors[receptor]) >> antigen & 1 for receptor in classes):
            continue
        # a peptide is hidden without itself, or without the HLA class that presents it
        ways = [way for way in (antigen, recognition.antigens[antigen].presented_by) if way in LOSS_ANTIGENS]
        if not ways:
            return 0, 0.0
        found = {1 << LOSS_ANTIGENS.index(way): 0.0 for way in ways if way is not None}
        for subclone in subclones:
            if subclone.kind is Kind.LSC and subclone.gain in found:
                found[subclone.gain] += subclone.share
        bit = max(found, key=lambda loss: found[loss])
        share *= 1.0 if bits & bit else min(found[bit], 1.0)
        bits |= bit
    return bits, share if bits else 0.0


def spared(variants: Variants, drugs: Set[str], subclones: Sequence[Subclone]) -> tuple[int, float]:
    """Return the variant of leukaemic stem cells that a run's drugs spare, and its share at the start.

    Of several the commonest; (0, 0.0) if no drug of these acts less on any that is there at the start.
    """
    found = {
        subclone.gain >> GAIN_VARIANT & (N_VARIANTS - 1): subclone.share
        for subclone in subclones
        if subclone.kind is Kind.LSC
    }
    less = [
        (share, variant)
        for variant, share in found.items()
        if variant
        and any(variants.drugs[drug][variant, Kind.LSC].min() < 1.0 for drug in variants.drugs.keys() & drugs)
    ]
    share, variant = max(less, default=(0.0, 0))
    return variant, share


def haplotype(mutations: Sequence[Mutation], config: Config) -> tuple[int, float]:
    """Return the bit of lost HLA and the chance of a stem cell's daughter to gain it, where half of HLA is foreign.

    Both are 0 with a donor who shares both haplotypes: nothing that he sees goes with one of them.
    """
    bit = 1 << LOSS_ANTIGENS.index(Antigen.HLA_CLASS_I)
    own = [m.probability for m in mutations if (m.kind, m.variant, m.gain) == (Kind.LSC, 0, bit)]
    if config.patient.donor_type != HAPLOIDENTICAL or not any(own):
        return 0, 0.0
    return bit, min(sum(own) * config.patient.preexisting_mutants, 1.0)
