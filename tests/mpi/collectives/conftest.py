# Programs for mpiexec; test_simulated.py runs them on simulated ranks.
collect_ignore = ["ranks"]
