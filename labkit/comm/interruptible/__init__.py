"""The communicator that cells are given: mpi4py, interruptible, traced on request."""
