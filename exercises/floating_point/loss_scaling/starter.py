import numpy as np


def scaled_steps(gradients, scale, growth_interval):
    """The gradients that are applied, with dynamic loss scaling.

    Parameters
    ----------
    gradients : array of float32, shape (num_steps, n)
    scale : float
        Of the first step: a power of 2.
    growth_interval : int
        The scale is doubled after so many good steps.

    Returns
    -------
    applied : array of float32, shape (num_steps, n)
    scales : array of float64, shape (num_steps,)
        As used in each step.
    """
    raise NotImplementedError
