"""What a user should look at again in a scenario that can be run: odd doses, ranges, cells and edits without effect."""

from __future__ import annotations

from collections.abc import Iterator

from abm.cells import Antigen, Flag, Origin, Specificity
from abm.config import Cells, Config, Graft, rules_folder, rules_of
from abm.config_events import Chemo
from abm.few_agents import few_agents
from abm.model.body import Tables
from abm.model.body.drugs import DRUG_TARGETS, Drug, read_drugs
from abm.model.body.edited import LINEAGES
from abm.model.body.organs import find_donor
from abm.model.editing import ACTIVATED, activated_variant, without_effect
from abm.model.rules import Rules, load_rules
from abm.model.unusual import FAR, unusual
from abm.tables import out_of_range
from abm.unseen import unseen

_NO_VIRUS = 'only HIV enters by CCR5, and patient.infection is "none": that it is missing changes nothing'


def notes(config: Config) -> list[str]:
    """Return what a user should look at again (numbers outside their ranges, edits without effect), with file and line.

    None of it is an error.
    """
    folder = config.rules
    tables, rules = Tables.load(folder), load_rules(folder)
    doses, idle = unusual(config.events, tables), _idle_edits(config, rules, tables)
    odd = *_idle_drugs(config, tables), *_odd_weight(config, tables), *few_agents(config)
    found = (*doses, *unseen(config, rules, tables.plasma_antigens), *_waiting(config), *idle, *odd)
    return [*out_of_range(folder), *(str(config.error(key, message)) for key, message in found)]


def _odd_weight(config: Config, tables: Tables) -> Iterator[tuple[str, str]]:
    """Yield (key, message) if the patient cannot be of the species by weight, to which doses and cells go."""
    weight, usual = config.patient.weight_kg, tables.values["reference_weight"]
    if not usual / FAR < weight < usual * FAR:
        yield "patient.weight_kg", f"found {weight:g} kg; a {config.patch.species} has about {usual:g} kg (body.csv)"


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
    """Yield (key, message) for every edit, and every gene that a donor lacks, that changes nothing in this patient."""
    alike = find_donor(tables.donors, config.patient.donor_type).shares_antigens
    healthy = [kind for kind, info in rules.kinds.items() if not info.flags >> Flag.LEUKAEMIC & 1]
    shown = {antigen for kind in healthy for antigen in rules.recognition.shown(kind, Origin.DONOR, alike)}
    for index, event in enumerate(config.events):
        if not isinstance(event, Graft):
            continue
        if event.ccr5_null and config.patient.infection == "none":
            yield f"events.{index}.ccr5_null", _NO_VIRUS
        if (edit := event.edit) is None:
            continue
        key = f"events.{index}.edit"
        if message := without_effect(edit, shown):
            yield f"{key}.locus", message
        if Antigen.CCR5.name in (edit.locus, *edit.also) and config.patient.infection == "none":
            yield f"{key}.locus", _NO_VIRUS
        if edit.vcn and not activated_variant(rules.heredity.variants):
            yield f"{key}.vcn", f"variants.csv of this patient has no HSC {ACTIVATED}: no copy does harm"
        if edit.receptor and not any(
            tables.transgenes[Specificity[edit.receptor]].get(kind, 0.0) for kind in LINEAGES[edit.lineage]
        ):
            where = f"no cell in which a promoter of lineage {edit.lineage} works shows {edit.receptor}"
            yield f"{key}.lineage", f"{where} (transgenes.csv): the gene does nothing"
