"""MPI ideas: point-to-point patterns, collective algorithms, their cost, the choice between them."""
