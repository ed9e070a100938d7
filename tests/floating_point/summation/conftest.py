# A program for mpiexec: importing it would start MPI in the process of pytest.
collect_ignore = ["ranks_program.py"]
