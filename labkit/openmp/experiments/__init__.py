"""What goes wrong with threads, and what it costs, measured on this machine: races, false sharing, too many threads."""
