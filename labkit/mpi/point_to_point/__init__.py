"""Point-to-point messages: what they cost, how they block, how they get stuck, what to build from them.

Every function takes the communicator first and runs on real and on simulated ranks.

=====================  ==================================================================================
:mod:`.ping_pong`      latency, bandwidth, and the line ``alpha + beta * bytes`` through them
:mod:`.send_modes`     how long Send, Ssend, Isend, Bsend block: eager and rendezvous, and where one ends
:mod:`.deadlocks`      patterns that get stuck, and their cures
:mod:`.overlap`        how much of a transfer hides behind computing
:mod:`.datatypes`      the column of an array, sent in place by a derived datatype
:mod:`.decomposition`  who owns which rows and columns (plain arithmetic, no messages)
:mod:`.halo`           halo exchange in one and two dimensions
:mod:`.heat`           Jacobi steps on a distributed grid, bitwise equal to the serial ones
:mod:`.master_worker`  tasks handed out to whoever is free
=====================  ==================================================================================
"""
