"""Figures of the pages in docs/ that no run shows: what is drawn is simulated first. Not part of the wheel."""
