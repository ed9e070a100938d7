# Programs for mpiexec and torchrun; the tests beside them start them.
collect_ignore = ["ranks"]
