"""What older checkpoints lacked: from each format version to the next.

A part of the body that came later starts as it does in a patient who has none of it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from abm.cells import N_COUNTS
from abm.state import Array, Snapshot


def without_labels(old: Snapshot) -> Snapshot:
    """Version 1 had no labels, no counts of them and no treatment that waits for a grade."""
    counts = {name: _with_rows(old.body[name]) for name in ("last_counts", "output.flux")}
    none = np.zeros_like(old.body["blood.neutrophils"])
    idle = {"treatment.order": np.zeros(5), "treatment.since": np.array(np.inf)}
    return replace(old, body=old.body | counts | idle | {"blood.labelled_neutrophils": none})


def without_clones(old: Snapshot) -> Snapshot:
    """Version 2 had no eosinophils, missing blood, resistant stem cells, hazards of death, receptor classes, clones."""
    added = {"blood.eosinophils": np.zeros_like(old.body["blood.neutrophils"]), "blood.volume_deficit": np.array(0.0)}
    added |= {"drugs.resistant": np.zeros(8), "mortality.exposure": np.zeros(3)}
    added |= {"mortality.cause": np.array(0.0), "mortality.day": np.array(np.inf)}
    shapes = {"ids": (6, 4, 256), "due": (6, 4, 2), "made": (), "turn": (), "start": (2, 256), "graft": (2, 256)}
    added |= {"turn": np.zeros(())} | {f"clones.{name}": np.zeros(shape) for name, shape in shapes.items()}
    return replace(old, body=old.body | added)


def without_infections(old: Snapshot) -> Snapshot:
    """Version 3 had no infections, no chronic GVHD and three causes of death."""
    none = np.zeros(4)
    added = {f"infections.{name}": none for name in ("load", "covered", "episodes")}
    added |= {"infections.began": np.full(4, np.inf), "infections.turn": np.array(float(old.step))}
    added |= {f"chronic.{name}": np.array(0.0) for name in ("exposure", "severity")}
    added |= {"chronic.onset": np.array(np.inf), "chronic.breaking": np.zeros(3)}
    added["mortality.exposure"] = np.concatenate([old.body["mortality.exposure"], np.zeros(3)])
    return replace(old, body=old.body | added)


def without_antibodies(old: Snapshot) -> Snapshot:
    """Version 3 had no antibodies and no exhausted T cells."""
    added = {"antibodies.amount": np.zeros(16), "antibodies.rate": np.zeros(16)}
    added |= {"exhaustion.level": np.array(0.0), "allo.exhausted": np.zeros(2)}
    return replace(old, body=old.body | added)


def without_engineered(old: Snapshot) -> Snapshot:
    """Version 3 had no engineered T cells, and one drug that waited, its index first in the order."""
    n_drugs, (drug, *order) = old.body["drugs.level"].size, old.body["treatment.order"].tolist()
    orders, since = np.zeros((n_drugs, 5)), np.full(n_drugs, np.inf)
    orders[int(drug), :4], since[int(drug)] = order, old.body["treatment.since"]
    shapes = {"cells": (6, 4), "cd4": (6,), "waiting": (6, 2)}
    added = {f"engineered.{name}": np.zeros(shape) for name, shape in shapes.items()}
    added |= {"engineered.il6": np.array(1.0), "engineered.felt": np.array(1.0)}
    return replace(old, body=old.body | added | {"treatment.order": orders, "treatment.since": since})


def without_edits(old: Snapshot) -> Snapshot:
    """Version 3 had no edited cells and no counts of them."""
    counts = {name: _with_rows(old.body[name]) for name in ("last_counts", "output.flux")}
    cells = ("neutrophils", "monocytes", "platelets", "marrow_reticulocytes", "reticulocytes", "red_cells")
    followed = {name: f"blood.{name}" for name in cells} | {n: f"lymphocytes.{n}" for n in ("pools", "thymus")}
    none = {f"edited.{name}": np.zeros((2, *old.body[of].shape)) for name, of in followed.items()}
    none |= {f"edited.{name}": np.zeros(4) for name in ("bits", "receptor")}
    return replace(old, body=old.body | counts | none)


def _of_version_3(old: Snapshot) -> Snapshot:
    """Version 3 lacked several parts of the body."""
    for without in (without_infections, without_antibodies, without_engineered, without_edits):
        old = without(old)
    return old


def without_payload(old: Snapshot) -> Snapshot:
    """Version 4 let conjugates kill by occupancy: what cells had taken in is not known and begins anew."""
    return replace(old, body=old.body | {"antibodies.payload": np.zeros_like(old.body["antibodies.amount"])})


def without_pathogenic_clones(old: Snapshot) -> Snapshot:
    """Version 4 had myelin-reactive memory cells as a share of their pool, and no regulatory cells that work or do not.

    They become a hundred clones, and regulatory cells those of a patient who has had no graft.
    """
    share = old.body.get("self_reactive.share")
    if share is None or len(share) != 2:  # one pool: lupus, as before
        return old
    naive, memory = share
    sizes = np.arange(1.0, 101.0) ** -0.7
    cells = (sizes / sizes.sum())[:, np.newaxis] * (memory * old.body["lymphocytes.pools"][1])
    added = {"self_reactive.share": naive[np.newaxis], "working.share": np.full((1, naive.size), 0.12)}
    added |= {"pathogenic.cells": np.append(cells, np.zeros((1, naive.size)), axis=0)}
    added |= {"pathogenic.shown": np.zeros(sizes.size), "pathogenic.turn": np.array(0.0)}
    return replace(old, body=old.body | added)


def _of_version_4(old: Snapshot) -> Snapshot:
    """Version 4 lacked what antibodies bring into cells, and clones of an autoimmune disease."""
    return without_pathogenic_clones(without_payload(old))


def without_resistant_hiv(old: Snapshot) -> Snapshot:
    """Version 5 had two strains of HIV: none resisted its therapy."""
    strains = {name: old.body[name] for name in old.body if name.startswith("hiv.") and name[4:] in _BY_STRAIN}
    return replace(old, body=old.body | {name: np.append(a, np.zeros_like(a), axis=0) for name, a in strains.items()})


def without_resident_clones(old: Snapshot) -> Snapshot:
    """Version 5 had no myelin-reactive cells that are resident in the nervous system."""
    cells = old.body.get("pathogenic.cells")
    return old if cells is None else replace(old, body=old.body | {"pathogenic.resident": np.zeros(len(cells) - 1)})


def without_restricted_t_cells(old: Snapshot) -> Snapshot:
    """Version 5 had one response of donor T cells, of which a half saw blood cells alone, and their memory."""
    if "residue.memory" not in old.body:
        return old
    body = {name: array for name, array in old.body.items() if name != "residue.memory"}
    half = {f"restricted.{name}": 0.5 * body[f"allo.{name}"][0] for name in ("precursors", "effectors", "primed")}
    return replace(old, body=body | half | {"restricted.memory": old.body["residue.memory"]})


def _of_version_5(old: Snapshot) -> Snapshot:
    """Version 5 lacked some of what the body follows."""
    for without in (without_resistant_hiv, without_resident_clones, without_restricted_t_cells):
        old = without(old)
    return old


def _of_version_6(old: Snapshot) -> Snapshot:
    """Version 6 did not follow the stroma of the marrow: it is taken as whole.

    It had eight loss bits; that below them was the highest bit of the receptor class, which none had set.
    """
    return replace(old, body=old.body | {"stroma.intact": np.array(1.0)})


def without_programmed_division(old: Snapshot) -> Snapshot:
    """Version 7 let primed T cells be effectors at once."""
    kinds = [kind for kind in ("allo", "restricted") if f"{kind}.primed" in old.body]
    return replace(old, body=old.body | {f"{kind}.dividing": np.zeros(3) for kind in kinds})


def without_rivals(old: Snapshot) -> Snapshot:
    """Version 8 let two donors ignore each other: none of their T cells has seen the other yet."""
    events = tomllib.loads(str(old.meta.get("config", ""))).get("events", [])
    if all(event.get("donor") != "second" for event in events):
        return old
    sides = {f"rivals.{name}": np.zeros(2) for name in ("precursors", "effectors", "primed", "waiting")}
    return replace(old, body=old.body | sides | {"rivals.dividing": np.zeros((2, 3))})


def without_plasma_cells(old: Snapshot) -> Snapshot:
    """Version 8 had no plasma cells and no IgG: they are those of a healthy person."""
    course = np.zeros((5, 4))
    course[:, 0] = 1.0
    added = {"course": course, "protection": np.array(1.0)} | dict.fromkeys(("infused", "waiting"), np.array(0.0))
    return replace(old, body=old.body | {f"plasma.{name}": array for name, array in added.items()})


def _of_version_8(old: Snapshot) -> Snapshot:
    """Version 8 lacked plasma cells, and T cells of one donor against another."""
    return without_plasma_cells(without_rivals(old))


def without_donor_apc(old: Snapshot) -> Snapshot:
    """Version 9 took antigen-presenting cells of the donor as what those of the host had left room for."""
    return replace(old, body=old.body | {"allo.donor_apc": 1.0 - np.minimum(old.body["allo.host_apc"], 1.0)})


def without_selection(old: Snapshot) -> Snapshot:
    """Version 9 had no clones of memory B and plasma cells, and self-reactive cells as of a healthy thymus."""
    shapes = {"ids": (2, 4, 256), "due": (2, 4), "turn": (), "start": (256,), "graft": (256,), "plasma": (256,)}
    added = {f"b_clones.{name}": np.zeros(shape) for name, shape in shapes.items()}
    return replace(old, body=old.body | added | {"selection.relative": np.ones((1, 2, 4))})


def _of_version_9(old: Snapshot) -> Snapshot:
    """Version 9 lacked clones of memory B cells, selection, and antigen-presenting cells of the donor."""
    return without_donor_apc(without_selection(old))


def _with_rows(counts: Array) -> Array:
    """Return counts with as many rows as they have now."""
    return np.concatenate([counts, np.zeros((N_COUNTS - len(counts), *counts.shape[1:]), counts.dtype)])


_BY_STRAIN = ("eclipse", "productive", "latent", "sheltered", "loads")

#: From format version v to v + 1: takes the snapshot as it was read (any part of the planes), returns the next form. It
#: replaces arrays of the body rather than change them: parts share them.
#: The layout of folder, manifest and merged file does not change between versions; names and meaning of arrays may.
UPGRADERS: dict[int, Callable[[Snapshot], Snapshot]] = {
    1: without_labels,
    2: without_clones,
    3: _of_version_3,
    4: _of_version_4,
    5: _of_version_5,
    6: _of_version_6,
    7: without_programmed_division,
    8: _of_version_8,
    9: _of_version_9,
}
