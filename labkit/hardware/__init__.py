"""What this computer is: cores, caches, memory, GPUs, MPI; how fast they are; the roofline."""
