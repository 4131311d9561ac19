"""What a scenario says of this patient's leukaemia: its pace, what drugs do to it, how little is followed."""

from __future__ import annotations

from typing import Annotated

from abm.config_table import Table, parameter


class Leukaemic(Table):
    """Part of ``[patient]``."""

    residual_leukaemia: Annotated[
        bool,
        parameter("", "whether less leukaemia than a few stem-cell agents is followed, in cells of the marrow"),
    ] = False
    lsc_frequency: Annotated[
        float | None,
        parameter("1", "leukaemic stem cells in life among leukaemic cells; absent: as in residue.csv", gt=0, le=1),
    ] = None
    residual_doubling_days: Annotated[
        float | None,
        parameter("d", "doubling time of residual leukaemia in a full marrow; absent: as by behaviours.csv", ge=1),
    ] = None
    leukaemia_sensitivity: Annotated[
        float,
        parameter("1", "log kill of leukaemic cells by drugs and radiation over that of the tables", ge=0, le=10),
    ] = 1.0
    leukaemia_immunogenicity: Annotated[
        float,
        parameter("1", "kill of leukaemic cells by lymphocytes over that of other cells of the host", ge=0, le=10),
    ] = 1.0
    restricted_alloreactivity: Annotated[
        float,
        parameter("1", "donor T cells that see blood cells alone, over those of the usual pair", ge=0, le=100),
    ] = 1.0
