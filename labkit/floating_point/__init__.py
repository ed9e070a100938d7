"""Floating point from the bits up: formats, rounding, neighbours, and what a unit in the last place is."""
