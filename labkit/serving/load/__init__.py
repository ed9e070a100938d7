"""Requests for a server: when they arrive, who sends them, and how long the answers take.

=================  ==================================================================================================
file               what it has
=================  ==================================================================================================
arrivals.py        ``constant, poisson, bursty, diurnal, inhomogeneous, from_counts``: seconds of arrivals, by a seed
dispersion.py      how uneven they are, measured and in theory
trace_file.py      ``read_times, write_times``: arrivals in a CSV file
generator.py       ``run_load`` (open loop) and ``run_closed`` (closed loop)
result.py          ``LoadResult``: every request, percentiles, errors, and how the generator itself did
outcome.py         what can become of a request
words.py           a run in a few lines
request.py         a URL taken apart, bodies made into requests
process.py         the generator's process, from outside: started, listened to, stopped
sender.py          and from inside: what is due is sent
client.py          connections as many as needed, time limits, the record
connection.py      one connection
timer.py           waking on time
=================  ==================================================================================================
"""
