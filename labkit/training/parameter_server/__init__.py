"""Training with servers that hold the weights, and workers that pull them and push gradients."""
