"""What a user should look at again in a scenario that can be run: odd doses, ranges, cells and edits without effect."""

from __future__ import annotations

from collections.abc import Iterator

from abm.cells import Flag, Origin
from abm.config import Cells, Config, Graft
from abm.model.body import Tables
from abm.model.body.organs import find_donor
from abm.model.editing import ACTIVATED, activated_variant, without_effect
from abm.model.rules import Rules, load_rules
from abm.model.unusual import unusual
from abm.tables import out_of_range

_IDLE = "it will neither grow nor kill"


def notes(config: Config) -> list[str]:
    """Return what a user should look at again (numbers outside their ranges, edits without effect), with file and line.

    None of it is an error.
    """
    folder = config.rules
    tables, rules = Tables.load(folder), load_rules(folder)
    doses, idle = unusual(config.events, tables), _idle_edits(config, rules, tables)
    found = (*doses, *unseen(config, rules, tables.plasma_antigens), *_waiting(config), *idle)
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
    return found


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
