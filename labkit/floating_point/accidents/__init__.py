"""Accidents of rounding, each as an experiment beside exact arithmetic.

=========================  =================  ==================================================================
experiment                 file               what it shows
=========================  =================  ==================================================================
patriot                    clock_drift.py     an error that grows with time
vancouver                  stock_index.py     truncation has a direction, rounding has none
ariane                     conversion.py      a number that does not fit: trap, wrap, saturate
muller, rump               classics.py        every digit wrong, and no warning
archimedes                 polygons.py        the same formula written twice
quadratic_sweep            quadratic.py       cancellation, and overflow on the way to a small result
differentiate              differentiation.py the best step: truncation against rounding
variance_sweep             variances.py       one pass, two passes, Welford
needle_triangles           triangle.py        parentheses that matter
=========================  =================  ==================================================================

Every function gives plain values; nothing in them is taken from a report. What the reports say is in the tests.
:class:`labkit.floating_point.emulated.Arithmetic` computes in any format.
"""

from labkit.floating_point.accidents.arguments import Curve, ErrorCurves
from labkit.floating_point.accidents.classics import muller, rump
from labkit.floating_point.accidents.clock_drift import ClockDrift, patriot
from labkit.floating_point.accidents.conversion import Converted, Flight, ariane, to_integer
from labkit.floating_point.accidents.differentiation import differentiate
from labkit.floating_point.accidents.polygons import archimedes
from labkit.floating_point.accidents.quadratic import Roots, quadratic_sweep, solve_quadratic
from labkit.floating_point.accidents.stock_index import StockIndex, vancouver
from labkit.floating_point.accidents.triangle import needle_triangles, triangle_area
from labkit.floating_point.accidents.variances import exact_variance, variance, variance_sweep

__all__ = [
    "ClockDrift", "Converted", "Curve", "ErrorCurves", "Flight", "Roots", "StockIndex", "archimedes", "ariane",
    "differentiate", "exact_variance", "muller", "needle_triangles", "patriot", "quadratic_sweep", "rump",
    "solve_quadratic", "to_integer", "triangle_area", "vancouver", "variance", "variance_sweep",
]  # fmt: skip
