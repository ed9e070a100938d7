import math


def decode_bits(codes, exponent_bits, significand_bits):
    """The values of codes.

    Parameters
    ----------
    codes : list of int
        Sign, biased exponent, trailing significand, from the left.
    exponent_bits, significand_bits : int
        e and m; the bias is 2^(e-1) - 1.

    Returns
    -------
    list of float
    """
    raise NotImplementedError
