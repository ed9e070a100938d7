"""Run by floating_point.py: our codes of float32 numbers against those of ml_dtypes, bit for bit, a share of all 2**32.

Arguments: the format's name, the type's name in ml_dtypes or torch, this share's number, how many shares there are.
binary16, which ml_dtypes has not, is compared with torch, which converts by the processor's instruction (NumPy, which
gives the same, takes a software path an element at a time).
Prints a line for every 2**20 numbers: how many there were, how many codes are wrong, and one such number as bits.
"""

import sys

import ml_dtypes
import numpy as np

from labkit.floating_point.codec import code_dtype, encode
from labkit.floating_point.formats import find_format
from labkit.floating_point.teams import ALONE

CHUNK = 2**20


def half(values):
    import torch

    torch.set_num_threads(1)
    return torch.from_numpy(values).half().numpy()


def main(name, other, share, num_shares):
    fmt, is_half = find_format(name), other == "float16"
    convert = half if is_half else lambda values: values.astype(getattr(ml_dtypes, other))
    without_nan = fmt.nan_code is None or is_half
    for start in range(share * CHUNK, 2**32, num_shares * CHUNK):
        patterns = np.arange(start, start + CHUNK, dtype=np.uint32)
        if without_nan:  # where there is no such code, ml_dtypes makes a zero, we an error; torch keeps payloads
            patterns = patterns[patterns & 0x7FFFFFFF <= 0x7F800000]
        values = patterns.view(np.float32)
        with np.errstate(all="ignore"):
            expected = convert(values).view(code_dtype(fmt))
        wrong = patterns[encode(values, fmt, team=ALONE) != expected]
        sys.stdout.write(f"{patterns.size} {wrong.size} {wrong[0] if wrong.size else 0}\n")  # at once: all shares write
        sys.stdout.flush()


main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
