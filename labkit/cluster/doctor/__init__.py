"""Finding out why a cluster does not work: one cause, one remedy.

``examine`` looks at this machine (``site_looks``), runs a short job (``probe_run``, whose processes run
``probe``), and so gathers ``Evidence``; ``diagnose``, a pure function, makes findings of it; a ``Report``
shows them.
"""

from labkit.cluster.doctor.diagnose import Finding, diagnose
from labkit.cluster.doctor.evidence import Evidence
from labkit.cluster.doctor.examine import examine
from labkit.cluster.doctor.report import Report

__all__ = ["Evidence", "Finding", "Report", "diagnose", "examine"]
