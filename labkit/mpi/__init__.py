"""Message passing: point-to-point patterns, collective algorithms, their cost and their choice."""
