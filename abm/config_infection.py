"""What a scenario says of infections: what the patient carries, and whether what shows is treated."""

from __future__ import annotations

from typing import Annotated

from abm.config_table import Table, parameter


class Exposed(Table):
    """Part of ``[patient]``."""

    cmv_carrier: Annotated[bool, parameter("", "whether the patient carries latent cytomegalovirus")] = True
    treat_infections: Annotated[
        bool, parameter("", "whether infections are treated once they show, with what usually works")
    ] = True
