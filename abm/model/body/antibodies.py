"""Antibody drugs: how much is on board, how much of its target each occupies, what that does.

One compartment with linear elimination and, where cells take the drug in with its antigen, target-mediated elimination
in its quasi-steady form (Gibiansky, J Pharmacokinet Pharmacodyn 2008): occupied antigen is internalised and replaced at
its own turnover. Occupancy is C / (C + K). What an antibody does follows from its rows in ``antibodies.csv``: it kills
cells that show its antigen, it lends lymphocytes the receptor for it, or it blocks a checkpoint. A conjugate kills by
the payload that cells have taken in with it, which stays when the drug is gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from abm.cells import LOSS_ANTIGENS, N_KINDS, Antigen, Cycle, Kind, is_motile
from abm.exactmath import LN2, exp
from abm.model.body.drugs import DRUG_TARGETS, drug_target
from abm.model.body.numerics import Floats, Packed, some, total
from abm.model.recognition import Recognition
from abm.model.rule_tables import read_kinds
from abm.tables import RANGE, Folder, Row, read_table

#: What an antibody may block besides antigens of the code book; both ends of one axis count as one.
PD_1_AXIS, CTLA_4_AXIS = AXES = (("PD_1", "PD_L1"), ("CTLA_4",))
CHECKPOINTS = tuple(end for axis in AXES for end in axis)
#: What an antibody must have, with its unit; without it nothing is known of its concentration.
KINETICS = {"molar_mass": "kDa", "half_life": "h", "volume": "L"}
#: What it does to the antigen it binds, with units; 0 where left out.
_OF_ANTIGEN = {"internalisation": "1/h", "turnover": "1/h", "body_kill": "1/d", "payload_half_life": "h",
               "payload_half": "1"}  # fmt: skip
#: What has to be stated together: an antigen that is taken in comes back, and what is carried in acts.
_TOGETHER = (("internalisation", "turnover"), ("payload_half_life", "payload_half"))
#: How a usual dose may be stated: as a dose, or as what runs in within a day.
USUAL_DOSE, USUAL_UNITS = "usual_dose", ("mg", "mg/kg", "mg/m2", "mg/d")
_UNITS = {**KINETICS, **_OF_ANTIGEN, "half_occupancy": "nmol/L", "kill": "1/h", "lends": "1"}
_NO_LOSS = len(LOSS_ANTIGENS)  #: place of antigens that no cell can lose
#: Room for antibodies in the state of a patient, whatever their number in the table.
MOST_ANTIBODIES = 16
_AVOGADRO = 6.02214076e14  #: molecules in 1 nmol
_STEPS = 4  #: parts of a step in which the consumption by cells is taken as constant
_TRACE = 1e-9  #: share of half_occupancy below which an antibody is gone, and of payload_half its payload


@dataclass(frozen=True)
class Antibody:
    """One row block of ``antibodies.csv``.

    Attributes:
        name: as scenarios call it.
        target: antigen or checkpoint that it binds.
        molar_mass: kDa.
        elimination: linear, 1/h.
        volume: of distribution, L, for the reference weight.
        half_occupancy: free concentration at which half of the target is bound, nmol/L.
        internalisation: of occupied antigen, 1/h; 0: none.
        turnover: of free antigen, 1/h.
        body_kill: death rate of cells of the body outside the marrow that show the antigen, at full occupancy and
            with the T cells of a healthy body, 1/d.
        payload_loss: of the payload from a cell, 1/h; 0: none is carried, and what is bound kills.
        payload_half: payload with which a cell dies half as fast as at most, in what it takes in with all the antigen
            that it shows at a time.
        kill: death rate at full occupancy by kind and cycle state, shape (N_KINDS, 2), 1/h.
        molecules: of the target on a cell, by kind, shape (N_KINDS,).
        lends: kinds of lymphocytes that it lends the receptor for its antigen.
        affinity: of that receptor.
        loss: place in ``LOSS_ANTIGENS`` of the bit that takes the target away, or their number.
        usual: usual dose and its unit, one of ``USUAL_UNITS``, if the table states one.
    """

    name: str
    target: str
    molar_mass: float
    elimination: float
    volume: float
    half_occupancy: float
    internalisation: float
    turnover: float
    body_kill: float
    payload_loss: float
    payload_half: float
    kill: Floats
    molecules: Floats
    lends: frozenset[Kind]
    affinity: float
    loss: int
    usual: tuple[float, str] | None = None

    @property
    def antigen(self) -> Antigen | None:
        """The antigen of the code book that it binds, if it is one."""
        return Antigen[self.target] if self.target in Antigen.__members__ else None

    def occupancy(self, concentration: float) -> float:
        """Return the occupied share of its target at a free concentration, nmol/L."""
        return concentration / (concentration + self.half_occupancy)

    def uptake(self, concentration: float) -> float:
        """Return how often a cell takes in as much antigen, with the drug on it, as it shows without the drug, 1/h."""
        occupied = self.occupancy(concentration)
        if self.internalisation == 0.0 or occupied == 0.0:
            return 0.0
        left = self.turnover / (self.turnover + (self.internalisation - self.turnover) * occupied)
        return self.internalisation * left * occupied

    def consumption(self, concentration: float, antigen: float) -> float:
        """Return what cells take in with ``antigen`` (nmol, while no drug is there), nmol/h."""
        return antigen * self.uptake(concentration)

    def effect(self, concentration: float, payload: float) -> float:
        """Return the death rate over the highest one."""
        return payload / (payload + self.payload_half) if self.payload_loss else self.occupancy(concentration)


def read_antibodies(folder: Folder) -> dict[str, Antibody]:
    """Return the antibodies of ``antibodies.csv`` by name, in the order of the table."""
    kinds = read_kinds(folder / "kinds.csv")
    recognition = Recognition.load(folder, kinds)
    blocks: dict[str, list[Row]] = {}
    columns = ("antibody", "property", "of", "value")
    for row in read_table(folder / "antibodies.csv", columns, RANGE, key=columns[:3]):
        blocks.setdefault(row.text("antibody"), []).append(row)
        if len(blocks) > MOST_ANTIBODIES:
            raise row.error("antibody", f"expected at most {MOST_ANTIBODIES} antibodies, found {len(blocks)}")
    return {name: _antibody(name, rows, recognition, list(kinds)) for name, rows in blocks.items()}


def _antibody(name: str, rows: Sequence[Row], recognition: Recognition, kinds: Sequence[Kind]) -> Antibody:
    usual, rows = _usual(rows)
    values, kill, lends, targets = _values(name, rows, kinds)
    if missing := [prop for prop in (*KINETICS, "half_occupancy") if prop not in values]:
        raise rows[0].error("property", f"{name} lacks {', '.join(missing)}: nothing is known of its kinetics")
    if len(targets) > 1:
        raise rows[0].error("of", f"{name} has one target; found {', '.join(targets)}")
    if (different := len(set(lends.values()))) > 1:
        raise rows[0].error("value", f"the receptor that {name} lends has one affinity; found {different}")
    for one, other in _TOGETHER:
        if (values.get(one, 0.0) > 0.0) != (values.get(other, 0.0) > 0.0):
            raise rows[0].error("property", f"{name} has only one of {one} and {other}")
    if "payload_half_life" in values and not values.get("internalisation"):
        raise rows[0].error("property", f"{name} carries a payload but lacks internalisation: no cell takes it in")
    antigen = Antigen[targets[0]] if targets[0] in Antigen.__members__ else None
    if (kill or lends or any(prop in values for prop in _OF_ANTIGEN)) and antigen is None:
        raise rows[0].error("of", f"{name} acts on cells that show an antigen; {targets[0]} is none")
    level = {k: recognition.expression.get(k, {}).get(antigen, 0) if antigen is not None else 0 for k in kinds}
    table = np.zeros((N_KINDS, 2))
    for kind in kinds:
        for cycle in Cycle:
            rate = kill.get(drug_target(kind, cycle), 0.0) * float(recognition.level_strength[level[kind]])
            table[kind, cycle] = rate
    loses = antigen in LOSS_ANTIGENS and recognition.antigens[antigen].can_be_lost
    molecules = np.zeros(N_KINDS)
    for kind in kinds:
        molecules[kind] = recognition.level_molecules[level[kind]]
    return Antibody(
        name,
        targets[0],
        values["molar_mass"],
        LN2 / values["half_life"],
        values["volume"],
        values["half_occupancy"],
        values.get("internalisation", 0.0),
        values.get("turnover", 0.0),
        values.get("body_kill", 0.0),
        LN2 / values["payload_half_life"] if values.get("payload_half_life") else 0.0,
        values.get("payload_half", 0.0),
        table,
        molecules,
        frozenset(lends),
        max(lends.values(), default=0.0),
        LOSS_ANTIGENS.index(antigen) if antigen is not None and loses else _NO_LOSS,
        usual,
    )


def _usual(rows: Sequence[Row]) -> tuple[tuple[float, str] | None, list[Row]]:
    """Return the usual dose with its unit, ``None`` if no row states one, and all other rows."""
    stated = [row for row in rows if row.text("property") == USUAL_DOSE]
    if not stated:
        return None, list(rows)
    if len(stated) > 1:
        raise stated[1].error("property", f"{USUAL_DOSE} of {stated[1].text('antibody')} stands twice")
    others = [row for row in rows if row is not stated[0]]
    if not others:
        raise stated[0].error("property", f"{stated[0].text('antibody')} has a {USUAL_DOSE} alone")
    stated[0].choice("of", ["-"])
    return (stated[0].number("value", 1e-9), stated[0].choice("unit", USUAL_UNITS)), others


def _values(
    name: str, rows: Sequence[Row], kinds: Sequence[Kind]
) -> tuple[dict[str, float], dict[str, float], dict[Kind, float], list[str]]:
    """Return numbers by property, kill by class, loans by kind, and the targets."""
    values: dict[str, float] = {}
    kill: dict[str, float] = {}
    lends: dict[Kind, float] = {}
    targets: list[str] = []
    seen = set()
    for row in rows:
        prop = row.choice("property", [*_UNITS, USUAL_DOSE])
        row.choice("unit", [_UNITS[prop]])
        if (prop, row.text("of")) in seen:
            raise row.error("property", f"{prop} of {name} stands twice")
        seen.add((prop, row.text("of")))
        if prop == "kill":
            kill[row.choice("of", DRUG_TARGETS)] = row.number("value", 0.0)
        elif prop == "lends":
            lends[Kind[row.choice("of", [k.name for k in Kind if is_motile(k)])]] = row.number("value", 0.0, 1.0)
        else:
            wanted = ["-"] if prop in KINETICS else [a.name for a in Antigen]
            of = row.choice("of", [*wanted, *CHECKPOINTS] if prop == "half_occupancy" else wanted)
            targets += [of] if of != "-" and of not in targets else []
            values[prop] = row.number("value", 0.0 if prop in _OF_ANTIGEN else 1e-9)
    return values, kill, lends, targets


class Antibodies(Packed):
    """All antibodies on board.

    Attributes:
        amount: free drug in the body, nmol, shape (MOST_ANTIBODIES,).
        rate: of the infusion that runs, nmol/h, likewise.
        payload: in a cell that shows the antigen, in the mean, likewise; unit: ``Antibody.payload_half``.
    """

    STATE = ("amount", "rate", "payload")

    def __init__(self, antibodies: Mapping[str, Antibody], size: float) -> None:
        """Start without any; ``size`` is the weight over that of the reference body."""
        self.known = tuple(antibodies.values())
        self._index = {name: i for i, name in enumerate(antibodies)}
        self._volume = [antibody.volume * size for antibody in self.known]
        self.amount: Floats = np.zeros(MOST_ANTIBODIES)
        self.rate: Floats = np.zeros(MOST_ANTIBODIES)
        self.payload: Floats = np.zeros(MOST_ANTIBODIES)

    def give(self, name: str, mg: float) -> None:
        """Give a dose at once."""
        self.amount[self._index[name]] += self._nmol(name, mg)

    def infuse(self, name: str, mg_per_h: float) -> None:
        """Let an infusion run from now on; 0 ends it."""
        self.rate[self._index[name]] = self._nmol(name, mg_per_h)

    def _nmol(self, name: str, mg: float) -> float:
        return mg / self.known[self._index[name]].molar_mass * 1e3

    @property
    def acting(self) -> bool:
        """Whether any is on board, on its way or in cells."""
        return some(self.amount) or some(self.rate) or some(self.payload)

    def advance(self, shown: Mapping[Antigen, float], step_h: float) -> None:
        """Advance by ``step_h`` hours; ``shown``: the antigen on all cells, nmol, where any drug consumes it.

        The rate of loss in a part of the step is that at its middle, as far as it is known.
        """
        for i, drug in enumerate(self.known):
            amount, rate, payload = float(self.amount[i]), float(self.rate[i]), float(self.payload[i])
            if amount == rate == payload == 0.0:
                continue
            antigen, hours = shown.get(drug.antigen, 0.0) if drug.antigen is not None else 0.0, step_h / _STEPS
            for _ in range(_STEPS):
                middle = _decayed(amount, rate, self._loss(drug, self._volume[i], amount, antigen), hours / 2.0)
                amount = _decayed(amount, rate, self._loss(drug, self._volume[i], middle, antigen), hours)
                if drug.payload_loss:
                    payload = _decayed(payload, drug.uptake(middle / self._volume[i]), drug.payload_loss, hours)
            gone = rate == 0.0 and amount < _TRACE * drug.half_occupancy * self._volume[i]
            self.amount[i] = 0.0 if gone else amount
            self.payload[i] = 0.0 if gone and payload < _TRACE * drug.payload_half else payload

    def _loss(self, drug: Antibody, volume: float, amount: float, antigen: float) -> float:
        """Return the rate of loss, 1/h."""
        if amount == 0.0:
            return drug.elimination
        return drug.elimination + drug.consumption(amount / volume, antigen) / amount

    def concentration(self, i: int) -> float:
        """Return the free concentration of an antibody, nmol/L."""
        return float(self.amount[i]) / self._volume[i]

    def occupancies(self) -> list[float]:
        """Return the occupied share of the target of each antibody."""
        if not some(self.amount):
            return [0.0] * len(self.known)
        return [drug.occupancy(self.concentration(i)) for i, drug in enumerate(self.known)]

    def blocked(self, axis: Sequence[str]) -> float:
        """Return the share of an axis that is blocked, whichever of its ends the antibodies bind."""
        if not some(self.amount):
            return 0.0
        free = 1.0
        for drug, occupied in zip(self.known, self.occupancies(), strict=True):
            if drug.target in axis:
                free = free * (1.0 - occupied)
        return 1.0 - free

    def hazards(self) -> Floats:
        """Return the death rate of marrow cells, shape (N_KINDS, 2, losses + 1), 1/h.

        The last axis says which loss bit spares a cell; the last place holds what spares none.
        """
        table = np.zeros((N_KINDS, 2, _NO_LOSS + 1))
        for i, drug in enumerate(self.known):
            effect = drug.effect(self.concentration(i), float(self.payload[i]))
            if effect > 0.0:
                table[..., drug.loss] += drug.kill * effect
        return table

    @property
    def borrowers(self) -> frozenset[Kind]:
        """Kinds of lymphocytes that may hold receptors lent to them."""
        return frozenset().union(*(drug.lends for drug in self.known))

    def body_kill(self, kind: Kind, t_cells: float, spared: int = 0) -> float:
        """Return the death rate of cells of a kind outside the marrow, 1/d.

        Args:
            kind: of the cells.
            t_cells: able ones, relative to health.
            spared: loss bits that the cells carry, the lowest that of the first antigen of ``LOSS_ANTIGENS``.
        """
        rate = 0.0
        for drug, occupied in zip(self.known, self.occupancies(), strict=True):
            if drug.molecules[kind] > 0.0 and not spared >> drug.loss & 1:
                rate = rate + drug.body_kill * occupied * (t_cells if drug.lends else 1.0)
        return rate

    def lent(self, cells: Floats) -> tuple[float, float]:
        """Return the share of T cells that hold lent receptors, and how many of the cells show what they see."""
        free, seen = 1.0, np.zeros(N_KINDS, np.bool_)
        for drug, occupied in zip(self.known, self.occupancies(), strict=True):
            if drug.lends and occupied > 0.0:
                free = free * (1.0 - occupied)
                seen |= drug.molecules > 0.0
        return 1.0 - free, total(cells[seen])

    @property
    def consumed(self) -> tuple[Antigen, ...]:
        """Antigens with which cells take in an antibody."""
        return tuple(d.antigen for d in self.known if d.internalisation > 0.0 and d.antigen is not None)

    def shown(self, cells: Mapping[Antigen, Floats]) -> dict[Antigen, float]:
        """Return the antigen on the cells that show it, by kind, each of shape (N_KINDS,), in nmol."""
        molecules = {drug.antigen: drug.molecules for drug in self.known if drug.antigen is not None}
        return {antigen: total(n * molecules[antigen]) / _AVOGADRO for antigen, n in cells.items()}


def _decayed(amount: float, rate: float, loss: float, hours: float) -> float:
    """Return what is left of an amount that is lost at a constant rate while more flows in."""
    kept = exp(-loss * hours)
    return amount * kept + rate * (1.0 - kept) / loss
