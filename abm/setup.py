"""From a configuration to everything a simulation needs: rules, tissue, scale, body, schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, fsum, inf
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from abm.cells import (
    ENGINEERED,
    GAIN_VARIANT,
    N_KINDS,
    N_ORIGINS,
    NICHE_MASK,
    TISSUE_MASK,
    Behaviour,
    Cycle,
    Kind,
    Origin,
    Specificity,
    Tissue,
)
from abm.comm import SerialComm
from abm.config import CLONAL, Config, Graft, disease_rows, variant_names
from abm.config_events import Art
from abm.domain import Domain
from abm.errors import CheckpointError, ConfigError
from abm.harvest import Harvest, read_harvest, with_edits
from abm.model import leukaemia, therapy, tissue
from abm.model.body import Exposure, Scale, Tables, Watch, daily_production
from abm.model.body.fratricide import Fratricide
from abm.model.body.given import MEGAKARYOCYTES
from abm.model.body.residue import StemCells
from abm.model.damage import DamageRules, read_damage
from abm.model.heredity import Subclone, with_progeny
from abm.model.initial import Start, initial_cells
from abm.model.meanfield import Homeostasis, homeostasis
from abm.model.rules import Rules, load_rules
from abm.model.surroundings import LocalAnswers
from abm.model.traffic import TRAFFIC_UNITS, open_shares
from abm.phases import HALO
from abm.streams import DRAWS
from abm.tables import Folder, Overlay, did_you_mean, once, read_table, read_values, rules_digest
from abm.unseen import unseen

SITE_UM = 10.0
#: Sites beside one, in all and in its plane.
NEIGHBOURS, IN_PLANE = 26, 8
_MAX_HOP = 0.95
_FIELD_NAMES = {
    "cxcl12": ("length_um", "stroma", "leukaemic_half", "floor"),
    "inflammation": ("length_um", "engaged", "floor"),
}


@dataclass(frozen=True)
class Model:
    """Rules and tables of a run, the same on all ranks."""

    config: Config
    rules: Rules
    traffic: dict[str, float]
    tissue: dict[str, float]
    fields: dict[str, dict[str, float]]
    tables: Tables
    schedule: therapy.Schedule
    local_answers: LocalAnswers
    open_share: NDArray[np.float64]
    homeostasis: Homeostasis
    hop: NDArray[np.uint32]
    substeps: int
    harvests: Mapping[str, Harvest]
    exposure: Exposure | None
    damage: DamageRules


def load_model(config: Config) -> Model:
    """Read and check everything a run depends on; raises ConfigError before anything is written."""
    folder = config.rules
    _check_shape(config)
    traffic = read_values(folder / "traffic.csv", TRAFFIC_UNITS)
    folders = folder.folders if isinstance(folder, Overlay) else [folder]
    read, tables = _tables(folder, tuple(map(rules_digest, folders)))
    rules = leukaemia.of_patient(read, traffic["open_share"], config)
    leukaemia.check(config, tables)
    unseen(config, rules)
    _check_variants(config, rules)
    substeps = _substeps(config, rules)
    places = read_values(folder / "tissue.csv", tissue.UNITS)
    harvests = _harvests(config, tables)
    local, room = LocalAnswers.of(rules, places), open_shares(rules, traffic)
    return Model(
        config=config,
        rules=rules,
        traffic=traffic,
        tissue=places,
        fields=_read_fields(folder),
        tables=tables,
        schedule=with_edits(_schedule(config, tables), harvests),
        local_answers=local,
        open_share=room,
        homeostasis=homeostasis(rules, traffic["commit_share"], room, local.by_distance),
        hop=_hop_thresholds(config, rules, substeps),
        substeps=substeps,
        harvests=harvests,
        exposure=_exposure(config, tables),
        damage=read_damage(folder),
    )


@lru_cache(maxsize=4)
def _tables(folder: Folder, digests: tuple[str, ...]) -> tuple[Rules, Tables]:
    """Read the rule tables, once as long as they stay the same: the patients of a cohort share them."""
    return load_rules(folder), Tables.load(folder)


def _harvests(config: Config, tables: Tables) -> dict[str, Harvest]:
    """Read the marrow of former runs that grafts are taken from, by checkpoint."""
    found: dict[str, Harvest] = {}
    for index, event in enumerate(config.events):
        if isinstance(event, Graft) and event.marrow_of:
            kinds, species = tables.grafts[event.source].cd34, config.patch.species
            try:
                found[event.marrow_of] = read_harvest(Path(event.marrow_of), kinds, species)
            except CheckpointError as error:
                raise config.error(f"events.{index}.marrow_of", str(error)) from None
    return found


def _exposure(config: Config, tables: Tables) -> Exposure | None:
    """Return what the scenario says of HIV, after a check that it fits together."""
    patient, start = config.patient, config.time.start_day
    if patient.infection == "none":
        for index, event in enumerate(config.events):
            if isinstance(event, Art):
                message = 'expected patient.infection = "hiv", found "none"'
                raise config.error(f"events.{index}.action", message)
        return None
    if tables.hiv is None:
        message = f'expected "none", found "{patient.infection}"; there is no hiv.csv for {config.patch.species}'
        raise config.error("patient.infection", message)
    exposed = start if patient.infection_day is None else patient.infection_day
    therapy_from = inf if patient.art_day is None else patient.art_day
    if patient.art_day is not None and not exposed <= therapy_from < start:
        message = (
            f"expected a day from the exposure ({exposed:g}) to before start_day = {start:g}, found {therapy_from:g}; "
            'later therapy is an event with action = "art"'
        )
        raise config.error("patient.art_day", message)
    return Exposure(exposed, therapy_from)


def _schedule(config: Config, tables: Tables) -> therapy.Schedule:
    start = config.time.start_day
    return therapy.compile(
        config.events, tables, config.patient, config.n_steps, config.step_h, start, error=config.error
    )


def _check_shape(config: Config) -> None:
    nz, ny, nx = config.patch.shape
    if min(nz, ny, nx) < 2 * HALO:
        msg = (
            f"expected at least {2 * HALO} sites in each direction (twice the halo of {HALO}), found [{nz}, {ny}, {nx}]"
        )
        raise config.error("patch.shape", msg)


def _substeps(config: Config, rules: Rules) -> int:
    """Return the number of motile sub-steps; "auto": the fewest that keep every hop probability below 0.95."""
    step, wanted = config.time.step_min, config.time.motile_step_min
    fastest = float(rules.motility.max())
    if wanted == "auto":
        substeps = max(1, ceil(_hop_probability(fastest, step) / _MAX_HOP))
    else:
        substeps = step // wanted
        if (chance := _hop_probability(fastest, wanted)) > 1.0:
            msg = f"cells of {fastest:g} um2/min would hop {chance:.2g} times in {wanted} min; expected at most once"
            raise config.error("time.motile_step_min", msg)
    if substeps > DRAWS:
        raise config.error("time.step_min", f"expected at most {DRAWS} motile sub-steps in a step, found {substeps}")
    return substeps


def _hop_probability(motility: float, minutes: float) -> float:
    """Return the hop probability of a lattice walk whose mean square displacement is 6 M t."""
    return 6.0 * motility * minutes / (SITE_UM * SITE_UM)


def _hop_thresholds(config: Config, rules: Rules, substeps: int) -> NDArray[np.uint32]:
    chance = _hop_probability(1.0, config.time.step_min / substeps) * rules.motility
    return (np.minimum(chance, 1.0) * 4294967295.0).astype(np.uint32)


def _read_fields(folder: Folder) -> dict[str, dict[str, float]]:
    values: dict[str, dict[str, float]] = {name: {} for name in _FIELD_NAMES}
    path = folder / "fields.csv"
    for row in once(read_table(path, ("field", "name", "value")), ("field", "name")):
        name = row.choice("field", _FIELD_NAMES)
        values[name][row.choice("name", _FIELD_NAMES[name])] = row.number("value", 0.0)
    for name, keys in _FIELD_NAMES.items():
        missing = [key for key in keys if key not in values[name]]
        if missing:
            raise ConfigError(f"{name}: missing {', '.join(missing)}", file=path)
    return values


def sweep_settings(values: dict[str, float]) -> dict[str, float]:
    """Return the scalars of a field's sweep kernel: weight = 1 / (6 + (h / length)^2), source per sweep."""
    ratio = SITE_UM / values["length_um"]
    kappa = ratio * ratio
    settings = {"weight": 1.0 / (6.0 + kappa), "floor": values["floor"]}
    settings["source"] = kappa * values["stroma" if "stroma" in values else "engaged"]
    if "leukaemic_half" in values:
        settings["half"] = values["leukaemic_half"]
    return settings


def make_domain(config: Config, comm: SerialComm) -> Domain:
    """Return the slab of this rank.

    Raises:
        ConfigError: a slab would have fewer planes than its neighbours read.
    """
    nz = config.patch.shape[0]
    if comm.size > nz // HALO:
        msg = f"expected at least {HALO} planes (the halo) for each of {comm.size} ranks, found {nz} planes"
        raise config.error("patch.shape", f"{msg}; at most {max(nz // HALO, 1)} ranks can share this patch")
    return Domain(config.patch.shape, HALO, comm.rank, comm.size, config.patch.ends == "closed")


def make_tissue(model: Model, domain: Domain) -> tissue.TissuePlanes:
    """Return the tissue of the owned planes."""
    z0, z1 = domain.slab(domain.rank)
    return tissue.generate(domain.shape, range(z0, z1), model.config.seed, model.tissue)


@dataclass(frozen=True)
class Census:
    """What the scale of a patch follows from."""

    niches: int
    marrow: int
    beside: int = 0  # marrow sites among the 8 neighbours in the plane of all marrow sites, if they were counted

    @classmethod
    def take(cls, label: NDArray[np.uint8], comm: SerialComm, *, neighbours: bool = False) -> Census:
        """Count niche sites and marrow sites over all ranks, and on request the neighbours of these."""
        niches = int(((label & NICHE_MASK) != 0).sum())
        marrow = int(((label & TISSUE_MASK) == Tissue.MARROW).sum())
        beside = sum(_beside(plane) for plane in label) if neighbours else 0
        total = comm.sum_int64(np.array([niches, marrow, beside], np.int64))
        return cls(*total.tolist())

    @property
    def sites_per_pair(self) -> float:
        """Return marrow sites over the mean number of marrow sites beside one (of 26); 0 if nobody has counted."""
        return self.marrow * self.marrow * IN_PLANE / (NEIGHBOURS * self.beside) if self.beside else 0.0


def _beside(plane: NDArray[np.uint8]) -> int:
    """Return the marrow sites beside all marrow sites of a plane, each counted as often as it is beside one."""
    marrow = ((plane & TISSUE_MASK) == Tissue.MARROW).astype(np.int64)
    rows = np.roll(marrow, 1, 0) + marrow + np.roll(marrow, -1, 0)
    around = np.roll(rows, 1, 1) + rows + np.roll(rows, -1, 1) - marrow
    return int((marrow * around).sum())


def make_start(model: Model, census: Census) -> Start:
    """Return the composition the patch starts with."""
    stem = model.homeostasis.by_kind[Kind.HSC]
    others = (model.homeostasis.cells_per_niche - stem) * occupied(model, census)
    cells_per_site = others / max(census.marrow - census.niches, 1)
    if cells_per_site > 1.0:
        msg = f"{cells_per_site:.2f} resident cells per marrow site at homeostasis; expected at most 1"
        raise ConfigError(
            msg,
            file=str(model.config.rules),
            key="tissue.csv niche_density, kinds.csv stages",
        )
    return Start(
        homeostasis=model.homeostasis,
        occupancy=model.traffic["niche_occupancy"],
        cells_per_site=cells_per_site,
        blast_fraction=model.config.patient.blast_fraction,
        lsc_share=model.traffic["lsc_share"],
        quiescent_lsc=model.traffic["quiescent_lsc"],
        blast_stages=model.rules.kinds[Kind.BLAST].stages - int(Kind.BLAST in model.rules.fates),
        blast_stage_ratio=model.traffic["blast_stage_ratio"],
        subclones=with_progeny(subclones(model), model.rules.fates),
    )


def subclones(model: Model) -> tuple[Subclone, ...]:
    """Return what shares of cells have lost an antigen or are a variant at the start in this patient."""
    factor, own = model.config.patient.preexisting_mutants, model.config.patient.hsc_variants
    found = [s._replace(share=min(s.share * factor, 1.0)) for s in model.rules.heredity.subclones]
    names = model.rules.heredity.variants.names
    stated = [Subclone(Kind.HSC, share, names[Kind.HSC, name] << GAIN_VARIANT) for name, share in own.items()]
    return tuple([s for s in found if not own or s.kind is not Kind.HSC] + stated)


def _check_variants(config: Config, rules: Rules) -> None:
    """Refuse variants of stem cells that the tables do not name."""
    known = [name for kind, name in rules.heredity.variants.names if kind is Kind.HSC]
    for name in config.patient.hsc_variants:
        if name not in known:
            message = f"expected a variant of HSC in variants.csv, found {name}{did_you_mean(name, known)}"
            if name in variant_names(disease_rows(config.patch.species, CLONAL)):
                message = f"expected none of clonal haematopoiesis beside {config.patient.disease}, found {name}"
            raise config.error(f"patient.hsc_variants.{name}", message)


def occupied(model: Model, census: Census) -> float:
    """Return the number of niches that hold an HSC at homeostasis."""
    return max(census.niches, 1) * model.traffic["niche_occupancy"]


def make_cells(
    model: Model, census: Census, domain: Domain, label: NDArray[np.uint8]
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Return the resident words of the owned planes at the start."""
    first = domain.z0 * domain.plane
    sites = np.arange(first, first + label.size, dtype=np.int64).reshape(label.shape)
    return initial_cells(label, sites, model.config.seed, make_start(model, census))


def body_size(model: Model) -> float:
    """Return the patient's weight over that of the reference body."""
    return model.config.patient.weight_kg / model.tables.values["reference_weight"]


def make_scale(model: Model, census: Census) -> Scale:
    """Return how lattice agents count in the body (enriched mode: the patch stands for the whole marrow).

    A blood cell that own rule tables do not make counts nothing, whoever leaves.
    """
    n = occupied(model, census)
    pool = model.homeostasis.by_kind * n
    resident = fsum(pool.tolist())
    exits = model.homeostasis.exits * n
    per_day = daily_production(model.tables, model.config.patient.weight_kg)
    marrow_cells = model.traffic["marrow_cells"] * body_size(model)
    per_agent = marrow_cells / (resident - float(pool[Kind.RETICULOCYTE]))
    return Scale(
        cells_per_agent=per_agent,
        exit_cells={kind: cells / float(exits[kind]) if exits[kind] > 0 else 0.0 for kind, cells in per_day.items()},
        reference_cellularity=resident,
        cells_per_hsc=model.traffic["active_hsc"] * body_size(model) / n,
        megakaryocytes=fsum(float(pool[kind]) for kind in MEGAKARYOCYTES),
        division={k: float(model.rules.base[k * 2 + Cycle.CYCLING, Behaviour.DIVIDE]) for k in model.rules.kinds},
        leukaemia=_followed(model, marrow_cells, per_agent),
    )


def _followed(model: Model, marrow_cells: float, cells_per_agent: float) -> StemCells | None:
    """Return the stem cells of a leukaemia that is followed below one agent; ``None``: none is."""
    patient, residue = model.config.patient, model.tables.residue
    if not patient.residual_leukaemia or residue is None:
        return None
    frequency = residue.lsc_frequency if patient.lsc_frequency is None else patient.lsc_frequency
    fraction = patient.blast_fraction
    return leukaemia.stem_cells(model.rules, model.traffic, frequency, marrow_cells, cells_per_agent, fraction)


def make_watch(model: Model) -> Watch:
    """Return the receptor classes that the schedule brings, which kinds show what they see, and antigens of drugs."""
    doses = [dose for doses in model.schedule for dose in doses]
    edits = {dose.origin: dose.edit for dose in doses if dose.edit is not None and dose.edit.receptor}
    engulf = {Specificity[edit.receptor] for edit in edits.values() if edit.lineage != "lymphoid"}
    given = engulf | {dose.receptor for dose in doses if dose.receptor}
    classes = tuple(receptor for receptor in ENGINEERED if receptor in given)
    recognition, donor = model.rules.recognition, model.tables.donors[model.config.patient.donor_type]
    masks = recognition.masks(model.rules.kinds, donor.shares_antigens)[0].reshape(N_ORIGINS, N_KINDS).T
    shown = [masks & recognition.receptors[receptor] != 0 for receptor in classes]
    names = {dose.name for dose in doses if dose.kind in ("antibody", "infusion")}
    drugs = [drug for name, drug in model.tables.antibodies.items() if name in names and drug.internalisation > 0.0]
    antigens = tuple(sorted({drug.antigen for drug in drugs if drug.antigen is not None}))
    lost, unseen = leukaemia.hidden(recognition, classes, subclones(model))
    spared, haplotype = 0, 0.0
    if model.config.patient.residual_leukaemia and not classes:
        taken = {dose.name for dose in doses if dose.kind == "drug"}
        spared, unseen = leukaemia.spared(model.rules.heredity.variants, taken, subclones(model))
        lost, haplotype = leukaemia.haplotype(model.rules.heredity.mutations, model.config) if not spared else (0, 0.0)
    lacks = {dose.receptor: dose.lacks for dose in doses if dose.receptor}
    others = Fratricide.of(recognition, masks, classes, lacks)
    promoters = {origin: edit.lineage for origin, edit in edits.items()}
    plasma = tuple(bool(model.tables.plasma_antigens & int(recognition.receptors[receptor])) for receptor in classes)
    found, rivals = np.array(shown) if classes else None, any(dose.origin is Origin.DONOR2 for dose in doses)
    return Watch(classes, found, antigens, lost, unseen, others, promoters, spared, plasma, rivals, haplotype)


def enrichment(scale: Scale) -> float:
    """Return phi: how many times denser HSC are in the patch than in the marrow it stands for."""
    return scale.cells_per_agent / scale.cells_per_hsc
