"""Registry of random-number streams. Append only: a renumbering changes every result.

A draw is Philox4x32-10 with key = seed and
counter = (global site low, global site high, step, stream * 256 + draw).
"""

from __future__ import annotations

from enum import IntEnum

#: Draws of one stream in a step: beyond them lies the next stream.
DRAWS = 256
#: Draw of the fate streams that GATE_SITES sites share, a byte each (``kernels/lists.cuh``).
GATE, GATE_SITES = 1, 16


class Stream(IntEnum):
    """One purpose, one stream."""

    TISSUE = 1  # static tissue (step is always 0)
    INITIAL = 2  # the cells at the first step
    FATE = 3  # resident layer: event, claim direction, priority; draw GATE: first byte of the event's
    OUTCOME = 4  # resident layer: daughters' fates and transitions
    FATE_MOTILE = 5  # the same for the motile layer
    OUTCOME_MOTILE = 6
    HOP = 7  # motile sub-steps; draw = sub-step
    ENGAGE = 8  # which target a lymphocyte engages
    BODY = 9  # rank-0 draws; the "site" is a running number
    ARRIVAL = 10  # candidate sites of arriving cells
    LABEL = 11  # whether a cell takes up a label
    DEATH = 12  # whether the patient dies, and of what
    HARVEST = 13  # which cells of another marrow a graft holds
    RECEPTOR = 14  # receptor class and clone of lymphocytes, on the host; the "site" is a running number
    MUTATION = 15  # what daughters gain by mutation, and cells of a subclone; draw: layer, or row of the table
    INFECTION = 20  # inocula, episodes and their drugs; the "site" is the pathogen, the step that of the body
    CHRONIC = 21  # whether chronic GVHD begins
    VIRUS = 23  # events of HIV infection that are few, and doses taken; the "site" is a running number
    RESIDUE = 24  # whether residual leukaemia is left: one draw for the whole course
    EXHAUST = 26  # whether a lymphocyte tires or recovers; draw 1, on the host: how tired those are that arrive
    FAMILY = 37  # families of host-reactive T cells of a graft; the "site" is a running number
    SWITCH = 31  # which cells a safety switch kills; draw: layer, or 2 for the "site" of a cell in the blood
    RIVALS = 45  # precursors of each of two donors that see the other; draw: whose
    TRANSMIT = 44  # which cells of the motile layer catch what passes between cells or comes with the blood
    DAMAGE = 50  # how much of its damage a struck cell repairs and how much it gets
    EDIT = 30  # which cells of a graft are edited, which lymphocytes carry an edit; the "site" is a running number


def cpp_header() -> str:
    """Return the stream constants for kernels."""
    streams = "".join(f"#define STREAM_{s.name} {s.value}u\n" for s in Stream)
    return f"{streams}#define DRAW_GATE {GATE}u\n#define GATE {GATE_SITES}\n"
