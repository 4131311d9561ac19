"""The figure of the CD33 shield from finished cohorts of `abm validate`.

    abm validate --quick --only O68,O69,O70 --seeds 3
    python -m analysis.shield validation docs/shield.svg 1 2 2

Patients: the two on the left, and the one with half of the alleles cut. The latest result of a patient is drawn.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

#: Cohort, what it is called in the figure, its line.
ARMS = (
    ("shielded_remission", "edited, no CAR-T cells", "C7--"),
    ("shielded_cart_remission", "edited, CAR-T cells", "C0-"),
    ("unshielded_cart_remission", "unedited, CAR-T cells", "C3-"),
)
HALF = (("half_shielded", "no CAR-T cells", "C7--"), ("half_shielded_cart", "CAR-T cells", "C0-"))
PANELS = (("anc", "ANC, 1e9/L"), ("platelets", "platelets, 1e9/L"))
FROM, INFUSION = 40.0, 60.0  #: days


def curve(folder: Path, cohort: str, patient: int, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return days and values of an observable of one patient.

    Raises:
        FileNotFoundError: the patient was not simulated.
    """
    found = sorted((folder / "patients").glob(f"{cohort}-{patient}-*.json"), key=lambda file: file.stat().st_mtime)
    if not found:
        raise FileNotFoundError(folder / "patients" / f"{cohort}-{patient}-*.json")
    result: Mapping[str, object] = json.loads(found[-1].read_text(encoding="utf-8"))
    curves, first = result["curves"], result["first_day"]
    values = np.array(curves[name], np.float64) if isinstance(curves, dict) else np.zeros(0)  # null becomes NaN
    return np.arange(values.size, dtype=np.float64) + float(first if isinstance(first, int) else 0), values


def draw(folder: Path, out: Path, patients: Sequence[int]) -> None:
    """Write the figure: ANC, platelets of two patients, and what half of the alleles cut give in a third."""
    figure = Figure(figsize=(9.6, 2.9), layout="constrained")
    axes = figure.subplots(1, 3)
    for axis, (name, label) in zip(axes, PANELS, strict=False):
        for patient, width in zip(patients, (1.8, 0.9), strict=False):
            for cohort, arm, line in ARMS:
                days, values = curve(folder, cohort, patient, name)
                axis.plot(days, values, line, linewidth=width, label=arm if patient == patients[0] else None)
        axis.set(title=label, ylim=(0, None))
    for cohort, arm, line in HALF:
        days, values = curve(folder, cohort, patients[2], "altered_neutrophils")
        axes[2].plot(days, values, line, label=arm)
    axes[2].set(title="half edited: neutrophils without CD33, %", ylim=(0, 101))
    for axis in axes:
        axis.axvline(INFUSION, color="0.8", linewidth=0.8)
        axis.set(xlabel="day", xlim=(FROM, None))
        axis.title.set_fontsize(8.5)
        axis.legend(fontsize=7, frameon=False)
    with mpl.rc_context({"svg.hashsalt": "shield"}):
        figure.savefig(out, metadata={"Date": None})


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit("usage: python -m analysis.shield VALIDATION OUT.svg PATIENT PATIENT PATIENT")
    try:
        draw(Path(sys.argv[1]), Path(sys.argv[2]), [int(word) for word in sys.argv[3:]])
    except FileNotFoundError as error:
        sys.exit(f"error: {error}: no such result; simulate more patients of that cohort (abm validate --seeds)")
    except ValueError as error:
        sys.exit(f"error: patients are numbers: {error}")
