"""Executing notebooks without a browser: ``labkit run``."""
