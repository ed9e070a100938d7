"""Hands: controls that run an idea and show its picture."""
