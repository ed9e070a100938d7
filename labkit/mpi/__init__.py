"""The MPI room: what MPI libraries do, as functions and tables one can read."""
