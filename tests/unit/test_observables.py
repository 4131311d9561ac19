"""Observables on a made-up patient, and on counts whose answer is known."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from abm import cells, resources
from abm.cells import Count, Kind, Origin
from tests.unit.made_up_run import SHARES, make_run

resources.load_analysis()
from abm_analysis import observables, read  # noqa: E402

MADE = observables.REGISTRY
NUCLEATED = sum(share for name, share in SHARES.items() if name != "reticulocyte")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return read.open_run(make_run(tmp_path_factory.mktemp("runs") / "aml"))


def last(run: Any, name: str) -> float:
    return float(MADE[name].make(run)[-1])


def with_counts(run: Any, **rows: dict[str, list[int]]) -> Any:
    """Return a run of three records, half a day apart, that holds only these counts."""
    counts = np.zeros((3, cells.N_COUNTS, cells.N_KINDS, cells.N_ORIGINS), np.int64)
    for row, kinds in rows.items():
        for kind, values in kinds.items():
            counts[:, Count[row.upper()], Kind[kind.upper()], Origin.HOST] = values
    day = np.array([0.0, 0.5, 1.0])
    body = {name: column._replace(values=column.values[:3]) for name, column in run.body.items()}
    return dataclasses.replace(run, day=day, step=np.array([0, 12, 24]), counts=counts, body=body)


def test_differential_adds_up(run: Any) -> None:
    parts = {
        "granulopoiesis": ("myeloblast", "promyelocyte", "myelocyte", "metamyelocyte", "neutrophil"),
        "erythroblasts": ("cfu_e", "proerythroblast", "polychromatic", "orthochromatic"),
        "marrow_lymphocytes": ("pro_b", "pre_b", "immature_b", "cd8_naive", "cd8_memory", "cd4_memory", "nk"),
        "promyelocytes": ("promyelocyte",),
        "megakaryocytes": ("megakaryocyte",),
    }
    for name, kinds in parts.items():
        share = 100 * sum(SHARES[kind] for kind in kinds) / NUCLEATED
        assert last(run, name) == pytest.approx(share, rel=0.01), name
    assert last(run, "marrow_blasts") == pytest.approx(
        100 * (1.5 + 0.5 + 0.5 + 0.8 + 0.6 + 0.3 + 0.4) / NUCLEATED, rel=0.05
    )
    myeloid = last(run, "granulopoiesis") + 100 * SHARES["monocyte"] / NUCLEATED
    assert last(run, "myeloid_erythroid_ratio") == pytest.approx(myeloid / last(run, "erythroblasts"), rel=0.01)


def test_every_nucleated_kind_has_one_place_in_the_differential() -> None:
    marrow = observables.marrow
    places = [
        *marrow.GRANULOPOIESIS,
        *marrow.ERYTHROBLASTS,
        *marrow.BLASTS,
        *marrow.MEGAKARYOCYTES,
        *marrow.LYMPHOCYTES,
    ]
    twice = {name for name in places if places.count(name) > 1}
    assert twice == {"myeloblast"}, "a blast, and the first of granulopoiesis"
    known = {kind.name.lower() for kind in Kind if kind != Kind.EMPTY}
    assert known - set(places) == {"monoblast", "monocyte", "macrophage", "dendritic", "reticulocyte"}


def test_units_are_converted(run: Any) -> None:
    assert last(run, "cd4") == pytest.approx(run.body["cd4"].values[-1])
    assert last(run, "donor_t") == pytest.approx(100 * run.body["donor_t"].values[-1])
    assert last(run, "hb") == pytest.approx(run.body["hb"].values[-1])


def test_engraftment_is_that_of_the_endpoints(run: Any) -> None:
    found = run.endpoints()
    assert MADE["anc_engraftment_day"].make(run) == found["anc_recovery_day"] > 0
    assert MADE["platelet_engraftment_day"].make(run) == found["platelet_recovery_day"] > 0
    assert MADE["platelets_held_day"].make(run) == found["platelet_recovery_day"]
    assert MADE["primary_graft_failure"].make(run) == 0


def test_platelets_that_never_fell_were_there_all_along(run: Any) -> None:
    """They are of the patients with platelets by day 14, though no day of recovery is theirs."""
    high = run.body["platelets"]._replace(values=np.full(len(run.day), 90.0))
    untransfused = run.body["platelet_transfusions"]._replace(values=np.zeros(len(run.day)))
    body = {**run.body, "platelets": high, "platelet_transfusions": untransfused}
    held = dataclasses.replace(run, body=body)
    assert MADE["platelet_engraftment_day"].make(held) is None
    assert MADE["platelets_held_day"].make(held) == 0.0


def test_a_run_that_ends_in_aplasia_never_engrafts(tmp_path: Path) -> None:
    run = read.open_run(make_run(tmp_path / "short", last_day=12.0))
    assert MADE["anc_engraftment_day"].make(run) == np.inf
    assert observables.measure(run)["values"]["anc_engraftment_day"] == observables.NEVER
    assert MADE["primary_graft_failure"].make(run) is None, "day 30 is not reached"


def with_anc(run: Any, *, at: list[float], values: list[float]) -> Any:
    """Return the run with this ANC at these days after the first treatment, which is on day -7."""
    column = run.body["anc"]._replace(values=np.interp(run.day + 7.0, at, values))
    return dataclasses.replace(run, body={**run.body, "anc": column})


def test_nadir_counts_from_the_first_treatment(run: Any) -> None:
    fallen = with_anc(run, at=[0, 8, 8.8, 20, 200], values=[4.0, 0.4, 0.4, 2.0, 2.0])
    assert MADE["anc_nadir"].make(fallen) == pytest.approx(0.4)
    assert MADE["anc_nadir_day"].make(fallen) == 8
    # 1.5 is passed on the way up after 8.8 + 11.2 * 1.1 / 1.6 = 16.5 days; the first whole day above it is 17
    assert MADE["anc_back_to_1_5_day"].make(fallen) == 17
    assert MADE["anc_back_to_1_day"].make(fallen) == 13
    # below 1 from day 6 (4.0 - 0.45 a day falls below at 6.7) to day 12, of 187 days
    assert MADE["days_below_1"].make(fallen) == pytest.approx(100 * 7 / 28)


def test_nadir_without_recovery_or_without_fall(run: Any) -> None:
    assert MADE["anc_back_to_1_day"].make(with_anc(run, at=[0, 5], values=[3.0, 0.2])) == np.inf
    assert MADE["anc_back_to_1_day"].make(with_anc(run, at=[0, 5], values=[3.0, 2.0])) is None


def test_a_later_fall_is_no_nadir(run: Any) -> None:
    relapsed = with_anc(run, at=[0, 8, 8.8, 20, 100, 110, 200], values=[4.0, 0.4, 0.4, 2.0, 2.0, 0.1, 0.1])
    assert MADE["anc_nadir"].make(relapsed) == pytest.approx(0.4)
    assert MADE["anc_back_to_1_5_day"].make(relapsed) == 17


def test_platelets_back_means_without_transfusion(run: Any) -> None:
    column = run.body["platelets"]._replace(
        values=np.interp(run.day + 7.0, [0, 10, 10.9, 25, 200], [200, 9, 9, 200, 200])
    )
    none = run.body["platelet_transfusions"]._replace(values=np.zeros(len(run.day)))
    bare = dataclasses.replace(run, body={**run.body, "platelets": column, "platelet_transfusions": none})
    # 50 is passed 41 / 191 of the way from day 10.9 to day 25: on day 13.9
    assert MADE["platelets_back_to_50_day"].make(bare) == 14
    given = none._replace(values=(run.day + 7.0 >= 12.0).astype(float))
    helped = dataclasses.replace(bare, body={**bare.body, "platelet_transfusions": given})
    assert MADE["platelets_back_to_50_day"].make(helped) == 20, "one on day 12, and 7 days without"


def test_production_is_per_day_and_70_kg(run: Any) -> None:
    assert MADE["neutrophil_production"].make(run) is None, "an ordinary run does not say what an agent stands for"
    told = dataclasses.replace(
        with_counts(run, egress={"neutrophil": [0, 10, 30]}),
        provenance={**run.provenance, "exit_cells": json.dumps({"neutrophil": 1e9})},
        config={**run.config, "patient": {"weight_kg": 35.0}},
    )
    assert MADE["neutrophil_production"].make(told)[1:] == pytest.approx([4e10, 1.2e11])


def test_platelets_made_since_the_graft_count_to_a_unit(run: Any) -> None:
    """2e11 in each half day from day 0: 3e11 after 0.75 days; those of the record at day 0 came before the graft."""
    made = with_counts(run, egress={"platelet_forming_mk": [9, 2, 2]})
    assert MADE["platelet_output_day"].make(made) is None, "an ordinary run does not say what an agent stands for"
    told, few = (
        dataclasses.replace(
            made, provenance={**run.provenance, "exit_cells": json.dumps({"platelet_forming_mk": each})}
        )
        for each in (1e11, 1e10)
    )
    assert MADE["platelet_output_day"].make(told) == pytest.approx(0.75)
    assert MADE["platelet_output_day"].make(few) == np.inf
    bare = dataclasses.replace(told, config={**run.config, "events": []})
    assert MADE["platelet_output_day"].make(bare) is None, "no graft"


def test_donors_are_told_apart(run: Any) -> None:
    assert last(run, "first_donor") == last(run, "donor_myeloid"), "one donor"
    second = run.body["donor_myeloid"]._replace(values=np.full(len(run.day), 0.25))
    two = dataclasses.replace(run, body={**run.body, "donor2_myeloid": second})
    assert last(two, "first_donor") == pytest.approx(last(run, "donor_myeloid") - 25)


def test_host_stem_cells_left(run: Any) -> None:
    told = with_counts(run, population={"hsc": [200, 50, 10]})
    assert list(MADE["host_hsc_left"].make(told)) == [100.0, 25.0, 5.0]


def test_turnover_of_stem_cells(run: Any) -> None:
    told = with_counts(run, population={"hsc": [100, 100, 200]}, birth={"hsc": [0, 1, 4]})
    assert MADE["hsc_turnover"].make(told)[1:] == pytest.approx([2.0, 4.0])


@pytest.mark.parametrize(
    ("kind", "population", "births", "unbalanced"),
    [
        ("myelocyte", [10, 12, 15], [0, 2, 3], 0),
        ("myelocyte", [10, 13, 15], [0, 2, 3], 2),  # one too many, then one too few
        ("hsc", [10, 13, 16], [0, 2, 3], 0),  # one arrived from the blood
        ("hsc", [10, 11, 14], [0, 2, 3], 1),  # one vanished
        ("mkp", [10, 13, 16], [0, 2, 3], 0),  # grafts hold them too
        ("mkp", [10, 11, 14], [0, 2, 3], 1),
        ("lsc", [10, 13, 16], [0, 2, 3], 0),
        ("nk", [0, 5, 5], [0, 0, 0], 0),
    ],
)
def test_balance_of_cells(run: Any, kind: str, population: list[int], births: list[int], unbalanced: int) -> None:
    told = with_counts(run, population={kind: population}, birth={kind: births})
    assert MADE["unbalanced_cells"].make(told) == unbalanced


@pytest.mark.parametrize("row", ["die", "drug", "kill", "egress", "left"])
def test_every_loss_is_in_the_balance(run: Any, row: str) -> None:
    told = with_counts(run, population={"myelocyte": [10, 8, 8]}, **{row: {"myelocyte": [0, 2, 0]}})
    assert MADE["unbalanced_cells"].make(told) == 0


def test_stem_cells_near_sinusoids(tmp_path: Path) -> None:
    """Three of four stem cells at most one site from a sinusoid, against half of the marrow."""
    folder = make_run(tmp_path / "run", last_day=0.0, size=4)
    run = read.open_run(folder)
    assert MADE["hsc_near_sinusoid"].make(run) is None, "this checkpoint has no distances"
    hot, distance, tissue = np.zeros((3, 4, 4, 4), np.uint32)
    hot[0, 0, :4] = cells.pack_hot(kind=Kind.HSC, origin=Origin.DONOR)
    distance[0, 0] = [0, 1, 1, 2]
    distance[1:] = 5
    distance[1, :] = 1
    tissue[3] = cells.Tissue.BONE
    (shard,) = run.checkpoints[-1].glob("shard-*.h5")
    with h5py.File(shard, "w") as file:
        for name, values in (("res_hot", hot), ("distance", distance), ("tissue", tissue)):
            file[f"owned/{name}"] = values.astype(np.uint32 if name == "res_hot" else np.uint8)
    assert MADE["hsc_near_sinusoid"].make(run) == 75.0
    near = 100 * (3 + 12 + 16) / 48  # of plane 0 all but one, all of plane 1, none of plane 2
    assert MADE["hsc_near_sinusoid_excess"].make(run) == pytest.approx(75.0 - near)


def test_measure_gives_daily_means_and_plain_json(run: Any) -> None:
    found = observables.measure(run)
    json.dumps(found, allow_nan=False)
    assert found["first_day"] == -10
    anc = run.body["anc"].values
    assert found["curves"]["anc"][0] == pytest.approx(anc[:4].mean(), rel=1e-4)
    assert len(found["curves"]["anc"]) == 191
    assert set(found["values"]) | set(found["curves"]) <= set(MADE)
    assert found["curves"]["hsc_turnover"][0] is not None, "three of four records of the first day have a rate"
