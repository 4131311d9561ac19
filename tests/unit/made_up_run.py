"""A made-up patient: the files of a run, with curves whose endpoints are known."""

from __future__ import annotations

import json

import h5py
import numpy as np

from abm import cells
from abm.cells import Count, Kind, Origin

CONFIG = """\
# Does a sibling graft rescue the marrow after busulfan-cyclophosphamide?
# Expected: aplasia, neutrophils back between days 10 and 24.
#
# Run time: about 1 min on 2 cores.
seed = 7
title = "AML, busulfan-cyclophosphamide, sibling marrow graft"
[patch]
shape = [64, 64, 64]
species = "human"
[scale]
mode = "enriched"
[time]
start_day = -10.0
end_day = 180.0
[patient]
weight_kg = 70.0
age_years = 40.0
disease = "aml"
blast_fraction = 0.3
donor = "sibling"
[[events]]
day = -7.0
action = "chemo"
drug = "busulfan"
dose_mg_per_kg = 0.8
doses = 16
every_h = 6
[[events]]
day = -3.0
action = "chemo"
drug = "cyclophosphamide"
dose_mg_per_kg = 60.0
doses = 2
[[events]]
day = -1.0
action = "drug"
drug = "ciclosporin"
level = 0.8
until_day = 150.0
taper_days = 50.0
[[events]]
day = 0.0
action = "graft"
source = "marrow"
cd34_per_kg = 3e6
cd3_per_kg = 3e7
[[events]]
day = 1.0
action = "chemo"
drug = "methotrexate"
dose_mg_per_m2 = 15.0
[[events]]
day = 3.0
action = "chemo"
drug = "methotrexate"
dose_mg_per_m2 = 10.0
doses = 3
every_h = 96
[[events]]
day = 7.0
action = "gcsf"
dose_ug_per_kg = 5.0
doses = 10
"""
LOG = """\
2026-01-01T00:00:00+0000 INFO   HSC        46 in 90 niches; enrichment phi = 4.2e+05
2026-01-01T00:01:14+0000 INFO   Wall time  74.2 s (setup 1.0 s, steps 70.0 s)
"""
SHARES = {
    "myeloblast": 1.5, "promyelocyte": 4, "myelocyte": 13, "metamyelocyte": 16, "neutrophil": 22, "monocyte": 3,
    "bfu_e": 0.5, "cfu_e": 2, "proerythroblast": 2, "polychromatic": 10, "orthochromatic": 9, "mkp": 0.4,
    "megakaryocyte": 0.5, "pro_b": 1, "pre_b": 2, "immature_b": 2, "cmp": 0.5, "gmp": 0.8, "mep": 0.6, "mpp": 0.3,
    "reticulocyte": 5, "cd8_naive": 1, "cd8_memory": 2, "cd4_memory": 3, "nk": 1,
}  # fmt: skip


def rise(day, middle, width):
    return 1.0 / (1.0 + np.exp(-(day - middle) / width))


def blood(day, noise):
    """Body observables of the patient: name -> (values, unit)."""
    alive, back = 1 - rise(day, 1.0, 1.1), rise(day, 30.0, 4.0)
    anc = (1.9 * alive + 4.2 * rise(day, 19.0, 1.3) * (1 + 0.2 * noise)).clip(1e-3)
    made = 90 * alive + 210 * back
    given = np.floor(np.interp(day, [3, 22], [0, 8]))
    support = np.zeros_like(day)
    for start in day[1:][np.diff(given) > 0]:
        support += np.where(day >= start, 22 * np.exp(-(day - start) / 2.0), 0)
    grade = np.where((day > 26) & (day < 34), 1, np.where((day >= 34) & (day < 58), 2, np.where(day > 58, 1, 0)))
    grade = np.where(day > 82, 0, grade)
    gvhd = np.exp(-(((day - 44) / 17) ** 2)) * (day > 0)
    lymph = {
        name: start * (1 - rise(day, -3, 1)) + full * rise(day, middle, width)
        for name, start, full, middle, width in (
            ("cd4", 700, 320, 95, 25),
            ("cd8", 400, 620, 60, 15),
            ("b", 180, 210, 130, 16),
            ("nk", 200, 230, 24, 5),
        )  # fmt: skip
    }
    donor = {
        "donor_myeloid": 99.4 * rise(day, 12, 2), "donor_t": 40 + 55 * rise(day, 55, 18) - 40 * (day < 0),
        "donor_b": 97 * rise(day, 45, 8), "donor_nk": 99 * rise(day, 16, 3), "donor_red": 98 * rise(day, 95, 22),
    }  # fmt: skip
    return {
        "anc": (anc, "1e9/L"), "monocytes": (0.12 * anc + 0.004, "1e9/L"),
        "platelets": (made + support + 4, "1e9/L"), "hb": (95 + 32 * rise(day, 70, 18) + 4 * noise, "g/L"),
        **{name: (values.clip(0.5) / 1e3, "1e9/L") for name, values in lymph.items()},
        **{name: (np.where(day < 0, 0, values) / 100, "fraction") for name, values in donor.items()},
        "gcsf": (1 + 40 / (1 + 6 * anc), "fold"), "epo": (1 + 5 * (1 - rise(day, 60, 15)), "fold"),
        "tpo": (1 + 12 / (1 + (made / 20)), "fold"),
        "gvhd_grade": (grade.astype(float), "1"), "skin": (1 - 0.45 * gvhd, "fraction"),
        "gut": (1 - 0.22 * gvhd, "fraction"), "liver": (1 - 0.08 * gvhd, "fraction"),
        "cni": (np.interp(day, [-1.01, -1, 100, 150], [0, 0.8, 0.8, 0]), "1"),
        "inflammation": (0.6 * np.exp(-((day - 2) ** 2) / 40) + 0.4 * gvhd, "1"),
        "allo_effectors": (1e9 * gvhd, "cells"), "platelet_transfusions": (given, "1"),
        "red_cell_transfusions": (np.floor(np.interp(day, [0, 40], [0, 6])), "1"),
    }  # fmt: skip


def marrow(day, noise):
    """Cells of the patient: counts of shape (T, N_COUNTS, N_KINDS, N_ORIGINS)."""
    counts = np.zeros((len(day), cells.N_COUNTS, cells.N_KINDS, cells.N_ORIGINS), dtype=np.int64)
    host = 78000 * (1 - rise(day, -3.5, 0.7)) * (day < 12)
    donor = 118000 * rise(day, 17, 3.2) * (day > 0)
    for name, share in SHARES.items():
        for origin, total in ((Origin.HOST, host), (Origin.DONOR, donor)):
            counts[:, Count.POPULATION, Kind[name.upper()], origin] = total * share / 98 * (1 + 0.02 * noise)
    counts[:, Count.POPULATION, Kind.HSC, Origin.HOST] = 46 * (1 - rise(day, -4, 0.6)) + 1
    counts[:, Count.POPULATION, Kind.HSC, Origin.DONOR] = np.where(day < 0, 0, 4 + 44 * rise(day, 40, 14))
    counts[:, Count.POPULATION, Kind.CMP, Origin.HOST] += 1
    blasts = 36000 * np.exp(-np.clip(day + 6.5, 0, None) * 1.35) * (day < 30)
    counts[:, Count.POPULATION, Kind.BLAST, Origin.HOST] = np.where(blasts < 3, 0, blasts) + 3 * (
        (day > 0) & (day < 48)
    )
    counts[:, Count.POPULATION, Kind.LSC, Origin.HOST] = np.where(day < -2, 60, 0)
    counts[:, Count.KILL, Kind.BLAST, Origin.HOST] = ((day > 25) & (day < 50)) * 1
    counts[:, Count.KILL, Kind.CMP, Origin.HOST] = ((day > 20) & (day < 60)) * (2 + noise)
    return counts


def lattice(size, seed=3):
    """Tissue and cell words of a made-up patch of edge ``size``."""
    rng = np.random.default_rng(seed)
    z, y, x = np.mgrid[:size, :size, :size]
    tissue = np.zeros((size, size, size), dtype=np.uint8)
    wave = np.sin(2 * np.pi * x / size) + 0.6 * np.sin(2 * np.pi * (y + z) / size) + 0.3 * np.sin(6 * np.pi * y / size)
    tissue[wave > 1.35] = cells.Tissue.BONE
    for _ in range(max(3, size // 6)):
        a, b, slope = rng.uniform(0, size, 3)
        distance = np.hypot((x - a - 0.4 * y) % size - size / 2, (z - b + slope / size * y) % size - size / 2)
        tissue[(distance < 2.2) & (tissue == 0)] = cells.Tissue.SINUSOID
        c = rng.uniform(0, size, 3)
        ball = np.sqrt(sum(((g - q + size / 2) % size - size / 2) ** 2 for g, q in zip((z, y, x), c, strict=True)))
        tissue[(ball < 3.6) & (tissue == 0)] = cells.Tissue.ADIPOCYTE
    resident, motile = np.zeros((2, size, size, size), dtype=np.uint32)
    names = [n for n in SHARES if Kind[n.upper()] < cells.FIRST_MOTILE]
    share = np.array([SHARES[n] for n in names])
    chosen = rng.choice([Kind[n.upper()] for n in names], size=tissue.shape, p=share / share.sum())
    patch = np.sin(x / 3.1 + y / 4.7) + np.sin(y / 2.7 - z / 3.3)
    chosen = np.where(patch > 1.1, rng.choice([Kind.POLYCHROMATIC, Kind.ORTHOCHROMATIC], size=tissue.shape), chosen)
    origin = np.where(rng.random(tissue.shape) < 0.93, Origin.DONOR, Origin.HOST)
    chosen = np.where(rng.random(tissue.shape) < 0.02, Kind.BLAST, chosen)
    free = (tissue == 0) & (rng.random(tissue.shape) < 0.72)
    resident[free] = (chosen | (origin << 6))[free].astype(np.uint32)
    spots = (tissue == 0) & (rng.random(tissue.shape) < 0.05)
    motile[spots] = cells.pack_hot(kind=Kind.CD8_MEMORY, origin=Origin.DONOR)
    return {"tissue": tissue, "res_hot": resident, "mot_hot": motile}


def make_run(folder, *, every_h=6, last_day=180.0, size=16, config=CONFIG, drop=()):
    """Write a run as the program would, with one checkpoint of edge ``size``."""
    folder.mkdir(parents=True, exist_ok=True)
    day = np.arange(-10.0, last_day + 1e-9, every_h / 24)
    noise = np.random.default_rng(1).normal(0, 1, len(day)).cumsum() / 40
    noise = np.convolve(noise - noise.mean(), np.ones(9) / 9, mode="same")
    (folder / "config.toml").write_text(config, encoding="utf-8")
    with h5py.File(folder / "series.h5", "w") as file:
        for enum, name in ((Kind, "kinds"), (Origin, "origins"), (Count, "count_rows")):
            file.attrs[name] = json.dumps({member.name.lower(): member.value for member in enum})
        file.attrs.update({"code_version": "0.1.0", "config_hash": "ab12" * 16, "seed": 7, "backend": "host"})
        file["step"], file["day"] = np.round((day + 10) * 24).astype(np.int64), day
        for name, (values, unit) in blood(day, noise).items():
            if name not in drop:
                data = file.create_dataset(f"body/{name}", data=values)
                data.attrs.update(
                    {"unit": unit, "doc": f"intact share of the {name}" if name in ("skin", "gut", "liver") else ""}
                )
        file.create_dataset("counts", data=marrow(day, noise), compression="gzip")
    (folder / "run.log").write_text(LOG, encoding="utf-8")
    point = folder / f"checkpoint-{round((last_day + 10) * 24):08d}"
    point.mkdir(exist_ok=True)
    (point / "manifest.json").write_text(
        json.dumps({"config_hash": "old", "rules_hash": "cd34" * 16}), encoding="utf-8"
    )
    with h5py.File(point / "shard-00000.h5", "w") as file:
        for name, values in lattice(size).items():
            file.create_dataset(name, data=values, compression="gzip")
    return folder
