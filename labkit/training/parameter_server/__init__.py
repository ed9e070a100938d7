"""Training with servers that hold the weights, and workers that pull them and push gradients.

=================  ===========================================================================================
consistency.py     the rules: bsp, ssp with a bound, async; and the workers' clocks
shard_server.py    what a server does with each event: a state machine without any messages
shards.py          the weights cut into blocks, the ranks into servers and workers
optimizer.py       the optimizer of a block; corrections for stale gradients
worker.py          a model in one flat vector, and the gradients of a worker's shards
delays.py          workers that are slow, or stall
messages.py        two-sided: requests and answers on any communicator
windows.py         one-sided: MPI windows, Get and Accumulate
train.py           ``train_with_servers(comm, model, data, options, consistency="ssp,2")``
connections.py     processes with connections that break; replicas
process_main.py    what such processes run
process_world.py   all of them as the one that started them sees them
processes.py       ``train_on_processes(model, data, options, kills=[...])``
explore.py         rules side by side on simulated ranks
report.py          losses, moments, staleness of every update
=================  ===========================================================================================
"""
