"""Threads: loop schedules as plans, plans simulated on any number of threads, laws of speed-up."""
