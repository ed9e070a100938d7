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

===================  ==================================================================================
both sides           ``wire.py``, the format; ``calls.py``, which calls there are; ``raised.py``, exceptions
the rank's side      ``rank.py``, the communicator; ``requests.py``; ``arguments.py``
the judge's side     ``server.py``, one rank's calls; ``given.py``, their arguments, checked; ``outgoing.py``;
                     ``unopened.py``, objects and operations of the answer; ``ledger.py``, memory
processes            ``ranks.py`` starts and ends them; ``zygote.py`` forks them, ``sandboxed.py`` starts that
                     one, ``kept.py`` keeps it; ``counted.py``, arrays that count passes through memory;
                     ``team.py``, calls with a team of threads
real MPI ranks       ``real.py`` starts and ends them; ``real_rank.py`` is one of them, ``watched_rank.py`` tells how it
                     has ended, ``lifelines.py`` hears that
===================  ==================================================================================

The judge trusts nothing that arrives: frames that need too much memory are refused before they are read, every
argument is checked for its kind, nothing is unpickled, and whatever does not fit raises WireError, which is a
verdict. Operations that the answer has made are executed in the answer's process, when the judge asks.
"""
