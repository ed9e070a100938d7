"""What the CPU's convolutions take besides their results.

torch hands them to oneDNN, which works in a layout of its own: channels in blocks of 16. So what goes in and comes out is
copied, in a certain order, and the copies live until the call ends. Seen with torch's profiler (torch 2.13, float32 and
bfloat16); a picture of one channel is taken as it is.
"""

from __future__ import annotations

import torch

FORWARD, BACKWARD = torch.ops.aten.convolution.default, torch.ops.aten.convolution_backward.default


def convolution_bytes(func, args) -> int:
    """The most that a call takes at a time, its results among it; 0 of another operation, and of another device.

    Parameters
    ----------
    func : torch.ops operation
    args : sequence
        Of the call.

    Examples
    --------
    >>> picture, weight = torch.zeros(2, 4, 8, 8), torch.zeros(6, 4, 3, 3)
    >>> settings = ([1, 1], [1, 1], [1, 1], False, [0, 0], 1)
    >>> convolution_bytes(FORWARD, (picture, weight, None, *settings)) == 2 * (2 * 6 * 8 * 8 * 4)
    True
    >>> convolution_bytes(torch.ops.aten.add.Tensor, (picture, picture))
    0
    """
    if func is FORWARD:
        inputs = args[0]
        if not _is_ours(inputs):
            return 0
        result = _result_bytes(args)
        return max(_copied(inputs) + result, 2 * result)
    if func is BACKWARD:
        gradient, inputs, mask = args[0], args[1], args[10]
        if not _is_ours(inputs):
            return 0
        if not mask[0]:
            return gradient.nbytes + _copied(inputs)
        return max(gradient.nbytes + inputs.nbytes, 3 * inputs.nbytes, inputs.nbytes + gradient.nbytes + _copied(inputs))
    return 0


def _is_ours(inputs: torch.Tensor) -> bool:
    return inputs.device.type == "cpu" and torch.backends.mkldnn.is_available() and inputs.dtype != torch.float64


def _copied(inputs: torch.Tensor) -> int:
    return inputs.nbytes if inputs.shape[1] > 1 else 0


def _result_bytes(args) -> int:
    inputs, weight, _, stride, padding, dilation, transposed, output_padding, groups = args[:9]
    if transposed:
        sizes = [
            (n - 1) * s - 2 * p + d * (k - 1) + o + 1 for n, k, s, p, d, o in
            zip(inputs.shape[2:], weight.shape[2:], stride, padding, dilation, output_padding, strict=True)
        ]
        channels = weight.shape[1] * groups
    else:
        sizes = [
            (n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in
            zip(inputs.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True)
        ]
        channels = weight.shape[0]
    num = inputs.shape[0] * channels
    for size in sizes:
        num *= size
    return num * inputs.element_size()
