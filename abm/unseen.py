"""Receptors of a scenario that see no cell of the patient, or the cells that carry them."""

from __future__ import annotations

from abm.cells import N_KINDS, N_ORIGINS
from abm.config import Cells, Config
from abm.model.body.fratricide import Fratricide
from abm.model.rules import Rules

_IDLE = "it will neither grow nor kill"


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


def _kills_itself(event: Cells, rules: Rules) -> bool:
    """Whether engineered T cells show what their own receptor sees."""
    masks = rules.recognition.masks(rules.kinds, donor_is_self=True)[0].reshape(N_ORIGINS, N_KINDS).T
    own = (event.receptor_class,)
    return bool(Fratricide.of(rules.recognition, masks, own, {event.receptor_class: event.loss}).products.any())
