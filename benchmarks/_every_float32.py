"""Run by floating_point.py: our codes of float32 numbers against those of ml_dtypes, bit for bit, a share of all 2**32.

Arguments: the format's name, the type's name in ml_dtypes or NumPy, this share's number, how many shares there are.
Prints a line for every 2**20 numbers: how many there were, how many codes are wrong, and one such number as bits.
"""

import sys

import ml_dtypes
import numpy as np

from labkit.floating_point.codec import code_dtype, encode
from labkit.floating_point.formats import find_format
from labkit.floating_point.teams import ALONE

CHUNK = 2**20


def main(name, other, share, num_shares):
    fmt, other = find_format(name), np.dtype(getattr(ml_dtypes if hasattr(ml_dtypes, other) else np, other))
    without_nan = fmt.nan_code is None or other == np.float16
    for start in range(share * CHUNK, 2**32, num_shares * CHUNK):
        patterns = np.arange(start, start + CHUNK, dtype=np.uint32)
        if without_nan:  # where there is no such code, ml_dtypes makes a zero, we an error; NumPy keeps payloads
            patterns = patterns[patterns & 0x7FFFFFFF <= 0x7F800000]
        values = patterns.view(np.float32)
        with np.errstate(all="ignore"):
            expected = values.astype(other).view(code_dtype(fmt))
        wrong = patterns[encode(values, fmt, team=ALONE) != expected]
        sys.stdout.write(f"{patterns.size} {wrong.size} {wrong[0] if wrong.size else 0}\n")  # at once: all shares write
        sys.stdout.flush()


main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
