"""What a process that runs an answer may do: compute, and talk over the socket it was given. Nothing else.

===================  ===============================================================================
``sandbox.py``       ``find_sandbox()``, what this machine offers; ``command()``, an argv in bubblewrap
``confine.py``       ``confine()``: the calling process gives up everything else, for good
``limits.py``        memory, processor time, files, processes; no privileges, no core dumps
``landlock.py``      which files can be read; none can be written
``seccomp.py``       which system calls are refused, as a filter that the kernel runs
``syscalls.py``      the numbers of those system calls
``python_rules.py``  the same rules inside Python, with sentences
``paths.py``         which folders Python needs, and how hidden ones are left out
``libc.py``            system calls with Python's exceptions
===================  ===============================================================================

Each measure stands for itself. bubblewrap gives the sandbox its own view of the disk, the network and the
processes; Landlock and seccomp hold one rank inside it; limits hold everywhere. The rules inside Python can be
got around by a determined answer (Python has no walls inside a process): they say in a sentence what is not
allowed, and where only limits exist they are all there is beside them.
"""
