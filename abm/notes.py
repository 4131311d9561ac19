"""What a user should look at again in a scenario that can be run: odd doses, ranges, cells and edits without effect."""

from __future__ import annotations

from collections.abc import Iterator

from abm.cells import N_KINDS, N_ORIGINS, Flag, Origin
from abm.config import Cells, Config, Graft, rules_folder, rules_of
from abm.config_events import Chemo
from abm.model.body import Tables
from abm.model.body.drugs import DRUG_TARGETS, Drug, read_drugs
from abm.model.body.fratricide import Fratricide
from abm.model.body.organs import find_donor
from abm.model.editing import ACTIVATED, activated_variant, without_effect
from abm.model.rules import Rules, load_rules
from abm.model.unusual import FAR, unusual
from abm.tables import out_of_range

_IDLE = "it will neither grow nor kill"


def notes(config: Config) -> list[str]:
    """Return what a user should look at again (numbers outside their ranges, edits without effect), with file and line.

    None of it is an error.
    """
    folder = config.rules
    tables, rules = Tables.load(folder), load_rules(folder)
    doses, idle = unusual(config.events, tables), _idle_edits(config, rules, tables)
    odd = *_idle_drugs(config, tables), *_odd_weight(config, tables)
    found = (*doses, *unseen(config, rules, tables.plasma_antigens), *_waiting(config), *idle, *odd)
    return [*out_of_range(folder), *(str(config.error(key, message)) for key, message in found)]


def unseen(config: Config, rules: Rules, plasma: int = 0) -> list[tuple[str, str]]:
    """Return (key, message) for every receptor that sees no resident cell of this patient.

    ``plasma``: antigens of plasma cells, which are no cells of the lattice.

    Raises:
        ConfigError: its class is not in receptors.csv.
    """
    found = []
    for index, event in enumerate(config.events):
        if not isinstance(event, Cells) or not event.receptor_class:
            continue
        key, receptor = f"events.{index}.receptor", rules.recognition.receptors[event.receptor_class]
        if not receptor:
            raise config.error(key, f"{event.receptor} is not in receptors.csv: it sees nothing")
        if not (rules.recognition.masks(rules.kinds, donor_is_self=True)[0] & receptor).any():
            does = "it will not grow, and kills plasma cells alone" if plasma & receptor else _IDLE
            found.append((key, f"no cell of the marrow shows what {event.receptor} sees: {does}"))
        if _kills_itself(event, rules):
            message = f"the product shows what {event.receptor} sees, so that none of it outlives its culture (lacks)"
            found.append((key, message))
    return found


def _odd_weight(config: Config, tables: Tables) -> Iterator[tuple[str, str]]:
    """Yield (key, message) if the patient cannot be of the species by weight, to which doses and cells go."""
    weight, usual = config.patient.weight_kg, tables.values["reference_weight"]
    if not usual / FAR < weight < usual * FAR:
        yield "patient.weight_kg", f"found {weight:g} kg; a {config.patch.species} has about {usual:g} kg (body.csv)"


def _kills_itself(event: Cells, rules: Rules) -> bool:
    """Whether engineered T cells show what their own receptor sees."""
    masks = rules.recognition.masks(rules.kinds, donor_is_self=True)[0].reshape(N_ORIGINS, N_KINDS).T
    own = (event.receptor_class,)
    return bool(Fratricide.of(rules.recognition, masks, own, {event.receptor_class: event.loss}).products.any())


def _idle_drugs(config: Config, tables: Tables) -> Iterator[tuple[str, str]]:
    """Yield (key, message) for every drug that kills no leukaemia of this disease, though it does of another."""
    if not config.patient.blast_fraction:
        return
    folder = rules_folder(config.patch.species) / "diseases"
    for index, event in enumerate(config.events):
        if isinstance(event, Chemo) and not _kills_leukaemia(tables.drugs[event.drug]):
            names = sorted(rows.parent.name for rows in folder.glob("*/drugs.csv"))
            drugs = {name: read_drugs(rules_of(config.patch, name)) for name in names}
            if others := [name for name, found in drugs.items() if _kills_leukaemia(found[event.drug])]:
                message = f"{event.drug} kills no leukaemia of this patient; it does with patient.disease"
                yield f"events.{index}.drug", f"{message} = {' or '.join(others)}"


def _kills_leukaemia(drug: Drug) -> bool:
    return any(kill for name, kill in zip(DRUG_TARGETS, drug.log10_kill, strict=True) if name.startswith("leukaemia"))


def _waiting(config: Config) -> Iterator[tuple[str, str]]:
    """Yield (key, message) for lymphocytes that wait for a leukaemia of which the patient has none."""
    for index, event in enumerate(config.events):
        if isinstance(event, Cells) and event.if_blast_fraction and not config.patient.blast_fraction:
            yield (
                f"events.{index}.if_blast_fraction",
                "no leukaemic cell at the start: they are given only if one arises",
            )


def _idle_edits(config: Config, rules: Rules, tables: Tables) -> Iterator[tuple[str, str]]:
    """Yield (key, message) for every edit of a gene that no healthy cell of its graft expresses."""
    alike = find_donor(tables.donors, config.patient.donor_type).shares_antigens
    healthy = [kind for kind, info in rules.kinds.items() if not info.flags >> Flag.LEUKAEMIC & 1]
    shown = {antigen for kind in healthy for antigen in rules.recognition.shown(kind, Origin.DONOR, alike)}
    for index, event in enumerate(config.events):
        if isinstance(event, Graft) and event.edit and (message := without_effect(event.edit, shown)):
            yield f"events.{index}.edit.locus", message
        if (
            isinstance(event, Graft)
            and event.edit
            and event.edit.vcn
            and not activated_variant(rules.heredity.variants)
        ):
            yield f"events.{index}.edit.vcn", f"variants.csv of this patient has no HSC {ACTIVATED}: no copy does harm"
