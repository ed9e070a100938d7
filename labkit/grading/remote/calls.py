"""The calls that travel from a rank to the judge, and how each argument does.

===  ==================================================================================================
d    data to send                                    r  room for what is received
x    data to send, and room for what is received     o  a pickled object, which the judge does not open
O    a list of such objects, or None                 _  nothing
n    an integer                                      s  a list of integers, or None
t    a list of truth values, or None                 c  a tuple of integers
i    a buffer that a collective reads                w  a buffer that it reads and writes
p    an operation
===  ==================================================================================================
"""

from __future__ import annotations

SENDS = {
    name: "dnn"
    for word in ("send", "ssend", "rsend", "bsend")
    for name in (word.capitalize(), f"I{word}", f"{word.capitalize()}_init")
}
OBJECT_SENDS = {name: "onn" for word in ("send", "ssend", "bsend") for name in (word, f"i{word}")}
PROBES = {
    name: "nn" for word in ("probe", "iprobe", "mprobe", "improbe") for name in (word.capitalize(), word)
}
RECEIVES = {
    "Recv": "rnn", "recv": "_nn", "Irecv": "rnn", "irecv": "_nn", "Recv_init": "rnn", "Sendrecv": "dnnrnn",
    "Sendrecv_replace": "xnnnn", "sendrecv": "onn_nn",
}
COLLECTIVES = {
    "Barrier": "", "Bcast": "wn", "Scatter": "iwn", "Scatterv": "iwn", "Gather": "iwn", "Gatherv": "iwn",
    "Allgather": "iw", "Allgatherv": "iw", "Alltoall": "iw", "Alltoallv": "iw", "Reduce": "iwpn", "Allreduce": "iwp",
    "Reduce_scatter": "iwsp", "Reduce_scatter_block": "iwp", "Scan": "iwp", "Exscan": "iwp",
}
NONBLOCKING = {f"I{name.lower()}": letters for name, letters in COLLECTIVES.items()}
OBJECT_COLLECTIVES = {
    "barrier": "", "bcast": "on", "gather": "on", "scatter": "On", "allgather": "o", "alltoall": "O", "reduce": "opn",
    "allreduce": "op", "scan": "op", "exscan": "op",
}
MAKERS = {"Dup": "", "Split": "nn", "Split_type": "nn", "Create_cart": "ct", "Free": "", "Abort": "n"}

OF_A_COMMUNICATOR = (
    SENDS | OBJECT_SENDS | PROBES | RECEIVES | COLLECTIVES | NONBLOCKING | OBJECT_COLLECTIVES | MAKERS | {"Sub": "t"}
)
OF_A_MESSAGE = {"Recv": "r", "recv": "", "Irecv": "r", "irecv": ""}
OF_REQUESTS = {
    "Wait", "wait", "Test", "test", "Get_status", "Cancel", "Free", "Waitall", "waitall", "Waitany", "waitany",
    "Waitsome", "waitsome", "Testall", "testall", "Testany", "testany", "Testsome", "testsome",
}
WITH_STATUS = {"Recv", "recv", "Sendrecv", "Sendrecv_replace", "sendrecv", *PROBES}

BLOCKING = {  # the result may be told before virtual time has come to it: nothing that others see follows
    "Send", "Ssend", "Rsend", "Bsend", "send", "ssend", "bsend", "Recv", "recv", "Sendrecv", "Sendrecv_replace",
    "sendrecv",
}

WORLD, SELF = 1, 2  # handles that every rank has
PASSES = "memory passes"  # among the results of a call whose passes are counted
TEAM = "team"  # among the results of a call with a team of threads: the report
NULL = 0  # the handle of a request that is complete
