"""Ranks in processes of their own, on the simulator of the judge's process.

::

    judge (trusted)                         sandbox
    ┌──────────────────────────┐            ┌────────────────────────────────┐
    │ Simulation: the network, │  control   │ zygote: imports, forks ranks   │
    │ clocks, counts, deadlocks│<---------->│   │                            │
    │                          │            │   ├─ rank 0: confined, answer  │
    │ serve(comm), a greenlet  │  a socket  │   ├─ rank 1:     "        "    │
    │ for each rank            │<---------->│   └─ ...                       │
    └──────────────────────────┘  a rank    └────────────────────────────────┘

A rank's ``comm`` turns every call into a message to the judge, where the same call is made on the
simulated communicator; the reply brings what was received. So the answer can neither change a count
nor see the arguments of another rank.

``wire.py`` is the format, ``rank.py`` the rank's side, ``server.py`` the judge's, ``zygote.py`` the
process that starts ranks quickly; ``real_rank.py`` runs the answer on real MPI ranks.
"""
