import math


def round_to_format(values, exponent_bits, significand_bits):
    """The nearest numbers of a format, ties to even.

    Parameters
    ----------
    values : list of float
    exponent_bits, significand_bits : int
        e and m; the bias is 2^(e-1) - 1.

    Returns
    -------
    list of float
    """
    raise NotImplementedError
