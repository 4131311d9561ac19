"""The C++ header that all kernels share: constants and bit-field accessors, made from :mod:`abm.cells`."""

from __future__ import annotations

from abm import cells
from abm.cells import (
    BRAKES,
    COLD,
    HISTOGRAM,
    HISTOGRAM_BITS,
    HOT,
    LOSS_ANTIGENS,
    MARKS,
    NOWHERE,
    SITE_BITS,
    STROMA_BIT,
    Behaviour,
    Count,
    EditBit,
    Event,
    Flag,
    Label,
    Signal,
    Tissue,
)


def cpp_header() -> str:
    """Return the C++ constants and bit-field accessors that all kernels share."""
    lines = ["// Generated from abm/cells.py. Do not edit."]
    for prefix, fields in (("HOT", HOT), ("COLD", COLD)):
        for f in fields:
            name = f"{prefix}_{f.name.upper()}"
            lines.append(f"#define {name}_SHIFT {f.shift}u")
            lines.append(f"#define {name}_MASK {(1 << f.bits) - 1}u")
    for enum in (Behaviour, Event, Signal, Count, Flag, Tissue, Label, EditBit):
        prefix = enum.__name__.upper()
        lines += [f"#define {prefix}_{m.name} {m.value}" for m in enum]
    sizes = ("N_KINDS", "N_ORIGINS", "N_BEHAVIOURS", "N_HAZARDS", "N_COUNTS", "N_PARTS", "N_VARIANTS", "N_MARKS",
             "N_BESIDE")  # fmt: skip
    plain = (*sizes, "FIRST_MOTILE", "GAIN_VARIANT", "GAIN_KIND", "TISSUE_MASK", "NICHE_MASK", "HISTOGRAM_BITS")
    constants = {name: getattr(cells, name) for name in plain} | {
        "N_LOSSES": len(LOSS_ANTIGENS),
        **{f"MARK_{name.upper()}": place for name, (place, _) in MARKS.items()},
        "BRAKES": f"{BRAKES}u",
        "SITE_BITS": SITE_BITS,
        "NOWHERE": f"int64_t({NOWHERE})",
        "STROMA_SHIFT": STROMA_BIT.bit_length() - 1,
        "LEUKAEMIC_SHIFT": HISTOGRAM_BITS * HISTOGRAM.index("leukaemic"),
        **{f"HISTOGRAM_{name.upper()}": j for j, name in enumerate(HISTOGRAM)},
    }
    lines += [f"#define {name} {value}" for name, value in constants.items()]
    return "\n".join(lines) + "\n"
