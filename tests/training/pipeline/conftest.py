# Programs for mpiexec: importing them would start MPI in the process of pytest.
collect_ignore = ["ranks"]
