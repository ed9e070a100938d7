"""Engines: MPI ranks started and served through ipyparallel."""
