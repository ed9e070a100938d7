"""Serving: the trained classifier leaves the notebook, behind a dedicated server and behind a serverless one.

Both run on this machine, answer the same requests from the same model package, are loaded by the same generator, and
are priced by a model that says when each is cheaper.
"""
