"""What serving costs, and how it scales: when a serverless function is cheaper than a dedicated server, and when not.

From below to above::

    checks            what every number here must be
    times             random times with a given mean and spread: gaps between requests, durations
    prices            published prices, each with its source and date
    serverless_cost   a month of a function, as the bill says it
    dedicated_cost    a month of instances; how many of them a rate needs
    queueing          formulas: Erlang B and C, Pollaczek-Khinchine, servers without limit
    cold_start        the probability that a request meets a cold environment
    serverless        simulation of a function: environments that appear, wait and end
    dedicated         simulation of instances: queue, batches, autoscaling
    run               what both simulations give
    crossover         requests a month at which both cost the same
    choice            the cheapest deployment that keeps a limit of tail latency
    calibrate         the parameters of all this from measurements, and prediction beside measurement

Importing these does not import Numba: only the first simulation does.
"""
