"""The endpoints of a run as a table of plain text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from abm import read_outs
from abm.endpoints import EPISODES, LANDMARKS, LINEAGES, LYMPHOCYTES, Value


def summarise(found: Mapping[str, Value]) -> list[tuple[str, str]]:
    """Return (label, text) rows in plain ASCII for a terminal from the result of :func:`endpoints`."""
    if not found:
        return []
    unjudged = "replaced before it could be judged" if found["second_graft_day"] is not None else _unjudged(found)
    graft = _text(found["graft_outcome"], missing=unjudged) if found["graft"] else "none given"
    transfusions = f"{_text(found['platelet_transfusions'])} / {_text(found['red_cell_transfusions'])}"
    second = _recovered(found["platelet_50_recovery"], found["platelet_50_day"])
    rows = [
        (f"Neutrophils >= {found['anc_level']:g}e9/L", _recovery_text(found, "anc", 2)),
        (f"Platelets >= {found['platelet_level']:g}e9/L, untransfused", _recovery_text(found, "platelet", 0)),
        (f"Platelets >= {found['platelet_50_level']:g}e9/L, untransfused", second),
        (f"Days of neutropenia < {found['anc_level']:g}e9/L", _text(found["neutropenia_days"])),
        ("Platelet / red-cell transfusions", transfusions),
        *_death_rows(found),
        ("Graft", graft),
        *_second_graft_rows(found),
        *_landmark_rows(found, "Donor chimerism (%)", "chimerism_", LINEAGES),
        *_landmark_rows(found, "Lymphocytes (/uL)", "", LYMPHOCYTES),
        *_leukaemia_rows(found),
    ]
    if found["gvhd_max_grade"] is not None:
        onset = "" if found["gvhd_onset_day"] is None else f", onset {_day(found['gvhd_onset_day'])}"
        rows.append(("GVHD, highest grade", roman(found["gvhd_max_grade"]) + onset))
    if found["chronic_gvhd_onset_day"] is not None:
        rows.append(("Chronic GVHD", f"since {_day(found['chronic_gvhd_onset_day'])}"))
    return [*rows, *_infection_rows(found), *read_outs.rows(found)]


def disease_text(found: Mapping[str, Value]) -> str:
    """Return the course of the leukaemia in words."""
    disease, relapse, look = found["disease"], found["relapse_day"], found["first_look_day"]
    if relapse is not None:
        return f"{'cytogenetic ' * (found['relapse_kind'] == 'cytogenetic')}relapse on {_day(relapse)}"
    if disease == "not evaluable":
        if isinstance(look, int) and isinstance(end := found["end_day"], float) and end < look:
            return f"not evaluable: {'death' if found['vital_status'] == 'dead' else 'end of run'} before {_day(look)}"
        return "not evaluable: too few marrow cells" + ("" if look is None else f" from {_day(look)} on")
    return "persistent, never in remission" if disease == "persistent" else _text(disease)


def roman(grade: Value) -> str:
    """Return a GVHD grade 0-4 in the usual Roman numerals."""
    return ("0", "I", "II", "III", "IV")[int(grade)] if isinstance(grade, int | float) else "-"


def mrd_text(found: Mapping[str, Value], moment: str) -> str:
    """Return the leukaemic fraction at ``moment`` with its flow result, or the limit of the patch."""
    blasts, level = found[f"blast_percent_{moment}"], found[f"mrd_log10_{moment}"]
    if blasts is None:
        return "-"
    if not isinstance(level, float):
        return f"not detected (< 10^{found[f'mrd_limit_log10_{moment}']:.1f}, one cell of the patch)"
    return f"{blasts:.3g} %" + ("" if level > -1 else f" (10^{level:.1f}), flow: {found[f'mrd_flow_{moment}']}")


def _recovered(status: Value, day: Value) -> str:
    return _day(day) if status == "recovered" else _text(status)


def _recovery_text(found: Mapping[str, Value], name: str, decimals: int) -> str:
    nadir = found[f"{name}_nadir"]
    if not isinstance(nadir, float):
        return "-"
    first = _recovered(found[f"{name}_recovery"], found[f"{name}_recovery_day"])
    depth = f"{nadir:.{decimals}f}" if nadir >= 10.0**-decimals else f"< {10.0**-decimals:g}"
    return f"{first} (nadir {depth}e9/L on {_day(found[f'{name}_nadir_day'])})"


def _unjudged(found: Mapping[str, Value]) -> str:
    return "died before it could be judged" if found["vital_status"] == "dead" else "not yet assessable"


def _second_graft_rows(found: Mapping[str, Value]) -> Iterator[tuple[str, str]]:
    if (day := found["second_graft_day"]) is not None:
        yield f"Second graft, {_day(day)}", _text(found["second_graft_outcome"], missing=_unjudged(found))


def _death_rows(found: Mapping[str, Value]) -> Iterator[tuple[str, str]]:
    if found["vital_status"] == "dead":
        yield "Died", f"day {found['death_day']:+.1f}, of {found['death_cause']}"


def _infection_rows(found: Mapping[str, Value]) -> Iterator[tuple[str, str]]:
    names = {name: name.removesuffix("_episodes") for name in EPISODES if found[name]}
    if names:
        yield (
            "Infections",
            ", ".join(f"{found[n]} of {what}, {_day(found[f'{what}_day'])}" for n, what in names.items()),
        )


def _landmark_rows(
    found: Mapping[str, Value], label: str, prefix: str, names: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    for day in LANDMARKS:
        values = {title: found[f"{prefix}{name}_d{day}"] for name, title in names.items()}
        if any(value is not None for value in values.values()):
            yield f"{label}, day {day}", ", ".join(f"{title} {_text(value)}" for title, value in values.items())


def _leukaemia_rows(found: Mapping[str, Value]) -> Iterator[tuple[str, str]]:
    yield "Leukaemia", disease_text(found)
    if found["disease"] == "none":
        return
    if (day := found["molecular_relapse_day"]) is not None:
        yield "Major molecular response lost (0.1 %)", _day(day)
    for key, text in {"start": "at start", **{f"d{d}": f"day {d}" for d in (0, *LANDMARKS)}, "end": "at end"}.items():
        if found[f"blast_percent_{key}"] is not None and (key != "end" or found["end_day"] not in LANDMARKS):
            yield f"Leukaemic cells in marrow, {text}", mrd_text(found, key)
    yield "Immune kills of leukaemic cells after day 0", _text(found["gvl_kills"])


def _day(value: Value) -> str:
    return f"day {value:+d}" if isinstance(value, int) else "not reached"


def _text(value: Value, missing: str = "-") -> str:
    if value is None:
        return missing
    return f"{value:.0f}" if isinstance(value, float) else str(value)
