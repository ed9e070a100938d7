"""The Triton kernels, on a GPU or under Triton's interpreter: test_triton.py runs this file in a process of its own."""

import itertools

import numpy as np


def kinds(torch):
    return {torch.float16: 2e-3, torch.bfloat16: 2e-2, torch.float32: 3e-6, torch.float64: 1e-12}


def logits(torch, device, dtype, rows, columns):
    x = (torch.randn(rows, columns, generator=torch.Generator().manual_seed(columns)) * 4).to(dtype)
    if columns > 3:
        x[0, :2] = -float("inf")
    return x.to(device)


def check_softmax(torch, gpu, device, shapes):
    for dtype, (one_block, long_block), columns in itertools.product(kinds(torch), shapes[0], shapes[1]):
        gpu.ONE_BLOCK, gpu.LONG_BLOCK = one_block, long_block
        x = logits(torch, device, dtype, 3, columns)
        y = gpu.softmax_tensor(x)
        tolerance = kinds(torch)[dtype]
        assert y.dtype == dtype and torch.allclose(y.double(), torch.softmax(x.double(), 1), rtol=tolerance, atol=1e-7)
        g = torch.randn(3, columns, generator=torch.Generator().manual_seed(1)).to(dtype).to(device)
        p = y.double()
        expected = p * (g.double() - (p * g.double()).sum(1, keepdim=True))
        assert torch.allclose(gpu.softmax_tensor_backward(y, g).double(), expected, rtol=tolerance, atol=tolerance)


def check_broken_rows(torch, gpu, device):
    inf, nan = float("inf"), float("nan")
    rows = [[1.0, 2, 3, 4], [-inf] * 4, [1, inf, 2, 3], [1, nan, 2, 3], [-inf, -inf, nan, 0], [1e30, 1e4, -inf, 1e30]]
    for blocks in ((8, 8), (1, 2)):
        gpu.ONE_BLOCK, gpu.LONG_BLOCK = blocks
        y = gpu.softmax_tensor(torch.tensor(rows, device=device))
        assert torch.equal(torch.isnan(y).all(1).cpu(), torch.tensor([False, True, True, True, True, False]))
        assert torch.allclose(y[5].cpu(), torch.tensor([0.5, 0, 0, 0.5]))
    assert gpu.softmax_tensor(torch.empty(3, 0, device=device)).shape == (3, 0)


def check_cross_entropy(torch, gpu, device, columns):
    gpu.LONG_BLOCK = 64
    for dtype, tolerance in kinds(torch).items():
        x = logits(torch, device, dtype, 5, columns)
        targets = torch.tensor([columns - 1, 0, columns // 2, 1 % columns, columns - 1], device=device)
        losses, log_sums = gpu.cross_entropy_tensor(x, targets)
        leaf = x.double().requires_grad_()
        expected = torch.nn.functional.cross_entropy(leaf, targets, reduction="none")
        assert torch.allclose(losses.double(), expected.detach(), rtol=1e-5, atol=1e-5)
        g = torch.linspace(0.1, 1, 5, device=device)
        expected.nan_to_num(0, 0, 0).backward(g.double())
        found = gpu.cross_entropy_tensor_backward(x, targets, log_sums, g, out=x)  # in place
        assert found is x and torch.allclose(x.double(), leaf.grad, rtol=tolerance, atol=tolerance)


def check_the_gradient_of_large_logits(torch, gpu, device):
    """Where the sum of the maximum and the logarithm has no digits left for the logarithm."""
    gpu.LONG_BLOCK = 4
    for offset in (1e4, -1e4, 1e5, 1e8):
        x = (torch.arange(12.0).reshape(2, 6) % 5 * (8.0 if offset == 1e8 else 0.5)).to(device) + offset
        targets, g = torch.tensor([1, 5], device=device), torch.tensor([1.0, 0.5], device=device)
        leaf = x.double().requires_grad_()
        torch.nn.functional.cross_entropy(leaf, targets, reduction="none").backward(g.double())
        losses, log_sums = gpu.cross_entropy_tensor(x, targets)
        found = gpu.cross_entropy_tensor_backward(x, targets, log_sums, g)
        assert torch.allclose(found.double(), leaf.grad, rtol=3e-6, atol=1e-12), (offset, found, leaf.grad)


def check_errors(torch, gpu, device):
    from labkit.errors import UsageError

    good = torch.zeros(2, 3, device=device)
    calls = [
        lambda: gpu.softmax_tensor(good.t()), lambda: gpu.softmax_tensor(good.int()),
        lambda: gpu.softmax_tensor(good[0]),
        lambda: gpu.softmax_tensor(good, out=good.double()), lambda: gpu.softmax_tensor_backward(good, good[:1]),
        lambda: gpu.cross_entropy_tensor(good, torch.tensor([0, 3], device=device)),
        lambda: gpu.cross_entropy_tensor(good, torch.tensor([0.0, 1.0], device=device)),
        lambda: gpu.cross_entropy_tensor_backward(good, torch.tensor([0, 1], device=device), good[0], good[0]),
    ]
    for call in calls:
        try:
            call()
        except UsageError:
            continue
        raise AssertionError("no UsageError")


def check_ladder(gpu):
    from labkit.softmax.ladder import softmax, softmax_backward

    x = np.random.default_rng(0).normal(size=(3, 17)).astype(np.float32)
    y = softmax(x, version="gpu")
    assert np.allclose(y, softmax(x, version="shifted"), rtol=1e-5)
    out = x.copy()
    assert softmax(out, version="gpu", out=out) is out and np.array_equal(out, y)
    assert np.allclose(softmax_backward(y, x, version="gpu"), softmax_backward(y, x, version="naive"), atol=1e-6)


def main(device, shapes, columns):
    import torch

    from labkit.softmax import gpu

    first = gpu.ONE_BLOCK, gpu.LONG_BLOCK
    check_softmax(torch, gpu, device, shapes)
    check_broken_rows(torch, gpu, device)
    for width in columns:
        check_cross_entropy(torch, gpu, device, width)
    check_the_gradient_of_large_logits(torch, gpu, device)
    gpu.ONE_BLOCK, gpu.LONG_BLOCK = first
    check_errors(torch, gpu, device)
    check_ladder(gpu)
    print("all cases passed")


if __name__ == "__main__":
    import sys

    if sys.argv[1] == "cpu":
        main("cpu", ([(2**15, 2**13), (4, 16)], [1, 5, 16, 130]), [1, 2, 64, 150])
    else:
        main("cuda", ([(2**15, 2**13), (2**10, 2**10)], [1, 5, 1000, 4096, 32768, 131_073]), [2, 1000, 131_072])
