"""Simulated ranks: thousands in one process, on a network of your choice, in virtual time."""
