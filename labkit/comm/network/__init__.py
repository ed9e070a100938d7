"""Networks as values: what a message costs (model), which way it goes (topologies), known ones (presets)."""
