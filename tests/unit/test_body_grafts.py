"""Stem-cell sources and two donors: tables, composition, chimerism."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from abm import resources
from abm.backends import choose
from abm.cells import Count, Kind, Origin
from abm.config import Config
from abm.errors import ConfigError
from abm.model.body import Dose, giving
from abm.model.body.grafts import read_grafts, read_sources
from abm.setup import occupied
from abm.step import Simulation
from tests.unit.body_case import CELLS_PER_HSC, live, make_body, tables

HUMAN = resources.folder("scenarios") / "rules" / "human"
MOUSE = {"weight_kg": 0.025, "age_years": 0.3, "donor": "twin"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("cord,seeding,0.5", "cord,seeding,1.5", "value: expected a number >= 0 and <= 1, found '1.5'"),
        ("cord,purified_seeding,0.05", "cord,purified_seeding,1.05", "expected a number >= 0 and <= 1, found '1.05'"),
        ("cord,seeding,0.5", "cord,seed,0.5", "unknown name 'seed' (did you mean seeding?)"),
        ("cord,delay,72,0,96,h", "cord,delay,72,0,96,d", "unknown name 'd'"),
        ("cord,delay,72,0,96,h", "cord,delay,72,96,0,h", "low: expected at most high = 0, found 96"),
        ("cord,cd34,200000", "cord,nucleated,200000", "nucleated of cord stands twice"),
        ("cord,cd34,200000", "cord,cd34,0", "expected a number >= 1e-09"),
        ("cord,cd34,200000", "chord,cd34,200000", "unknown name 'chord' (did you mean cord?)"),
        ("cord,cd34,200000", "dli,cd34,200000", "unknown name 'dli'"),
    ],
)
def test_wrong_sources_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = (HUMAN / "sources.csv").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "sources.csv").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"sources.csv:\d+: ") as caught:
        read_sources(tmp_path, read_grafts(HUMAN))
    assert message in str(caught.value)


def test_a_source_must_be_complete(tmp_path: Path) -> None:
    lines = (HUMAN / "sources.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "sources.csv").write_text("".join(x for x in lines if not x.startswith("edited,delay")))
    with pytest.raises(ConfigError, match="edited lacks delay"):
        read_sources(tmp_path, read_grafts(HUMAN))


@pytest.mark.parametrize("species", ["human", "mouse"])
def test_doses_stand_in_their_ranges_and_order(species: str) -> None:
    sources = tables(species).sources
    for source in sources.values():
        assert all(low <= source.dose[name] <= high for name, (low, high, _) in source.ranges.items())
        assert source.dose["cd34"] <= source.dose["nucleated"]
    assert sources["blood"].dose["cd3"] > 5 * sources["marrow"].dose["cd3"] > 0
    assert sources["cord"].dose["cd34"] < sources["marrow"].dose["cd34"] / 5
    assert sources["cd34_selected"].dose["cd3"] < sources["blood"].dose["cd3"] / 1000


def test_a_selected_graft_that_is_edited_lacks_progenitors_of_megakaryocytes_alone() -> None:
    """Neutrophils return after it as after a fresh one, platelets later (first CD33-edited grafts, 2022)."""
    body = make_body()
    fresh, edited = (
        giving.graft_agents(body, Dose("graft", source, cd34=1e8, origin=Origin.DONOR))
        for source in ("cd34_selected", "cd34_edited")
    )
    assert edited.keys() == fresh.keys()
    for kind, agents in fresh.items():
        share = edited[kind] / agents
        assert share < 0.1 if kind is Kind.MKP else share == pytest.approx(1.0)


def test_two_donors_are_told_apart() -> None:
    body = make_body()
    for origin, cells in ((Origin.DONOR, 3e9), (Origin.DONOR2, 1e9)):
        live(body, 1 / 24, doses=[Dose("graft", "cord", cd34=1e7, cd3=cells, origin=origin)])
    pools = body.lymphocytes.pools
    assert pools[:, Origin.DONOR].sum() == pytest.approx(3 * pools[:, Origin.DONOR2].sum(), rel=1e-3)
    seen = body.observables()
    assert seen["donor2_t"] == pytest.approx(seen["donor_t"] / 4, rel=1e-2)
    agents = giving.graft_agents(body, Dose("graft", "cord", cd34=1e7, origin=Origin.DONOR2))
    assert sum(agents.values()) == pytest.approx(1e7 / body.scale.cells_per_agent, rel=1e-4)
    assert agents[Kind.HSC] > agents[Kind.GMP]


def test_purified_stem_cells_keep_their_share_of_the_bodys() -> None:
    """200 of the 1.5e2 x n stem cells of the body are 200 / 1.5e2 agents, whatever the cells per agent are."""
    for per_agent in (1e6, 1e7):
        agents = giving.graft_agents(
            make_body(cells_per_agent=per_agent), Dose("graft", "marrow", cells=((Kind.HSC, 200.0), (Kind.GMP, 3e7)))
        )
        assert agents[Kind.HSC] == pytest.approx(200.0 / CELLS_PER_HSC)
        assert agents[Kind.GMP] == pytest.approx(3e7 * tables().grafts["marrow"].enrichment[Kind.GMP] / per_agent)
        assert agents[Kind.MPP] == 0.0


def test_a_patch_says_for_how_many_stem_cells_an_agent_stands() -> None:
    """All stem cells of a mouse, given as purified ones, are as many agents as the patch holds stem cells."""
    config = Config.model_validate({"patch": {"shape": [32] * 3, "species": "mouse"}, "patient": MOUSE})
    sim = Simulation.start(config, choose("numpy")[0])
    hsc = (Kind.HSC, float(sim.model.traffic["active_hsc"]))
    agents = giving.graft_agents(sim.body, Dose("graft", "marrow", cells=(hsc,)))
    assert agents[Kind.HSC] == pytest.approx(int(sim.last[Count.POPULATION, Kind.HSC].sum()), rel=0.15)


def test_a_graft_of_the_whole_marrow_of_a_mouse_is_its_marrow() -> None:
    """As many nucleated cells as the body has are as many progenitors of each kind as the patch should hold."""
    graft = {"action": "graft", "day": 0.0, "source": "marrow", "nucleated_per_kg": 5e8 / MOUSE["weight_kg"]}
    config = Config.model_validate(
        {"patch": {"shape": [24] * 3, "species": "mouse"}, "patient": MOUSE, "events": [graft]}
    )
    sim = Simulation.start(config, choose("numpy")[0])
    assert sim.model.traffic["marrow_cells"] == 5e8
    (dose,) = (dose for doses in sim.model.schedule for dose in doses if dose.cd34 > 0.0)
    held = sim.model.homeostasis.by_kind * occupied(sim.model, sim.census)
    for kind, agents in giving.graft_agents(sim.body, dose).items():
        assert agents == pytest.approx(held[kind], rel=0.01), kind


def test_lymphocytes_for_a_leukaemia_are_given_only_while_there_is_enough_of_it() -> None:
    population = np.zeros((64, 4), np.int64)
    population[Kind.MYELOCYTE, Origin.DONOR] = 97
    population[Kind.BLAST, Origin.HOST], population[Kind.LSC, Origin.HOST] = 2, 1
    always, drug = Dose("cells", "dli", cd3=1e8), Dose("drug", "busulfan", 1.0)
    at_three, beyond = (Dose("cells", "dli", cd3=1e8, if_blast_fraction=x) for x in (0.03, 0.031))
    assert giving.due((always, drug, at_three, beyond), population) == [always, drug, at_three]
    assert giving.due((at_three,), np.zeros_like(population)) == []
