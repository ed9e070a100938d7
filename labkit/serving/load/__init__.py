"""Requests for a server: when they arrive, who sends them, and how long the answers take.

:mod:`.arrivals` says when, :mod:`.generator` sends, :mod:`.result` measures.
"""
