"""``python -m abm``."""

from __future__ import annotations

from abm.cli import main

if __name__ == "__main__":
    main(prog_name="abm")
