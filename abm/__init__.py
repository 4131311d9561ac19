"""Agent-based simulation of bone marrow, blood and transplantation."""

__version__ = "0.1.0"
