"""The GPU kernels: under Triton's interpreter everywhere, and on a GPU where there is one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from labkit.errors import NotAvailableError
from labkit.softmax import gpu
from labkit.softmax.ladder import softmax

ROOT = Path(__file__).parents[2]


def run_cases(device, **environment):
    done = subprocess.run(
        [sys.executable, "-m", "tests.softmax.triton_cases", device], capture_output=True, text=True, cwd=ROOT,
        env=os.environ | environment, timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip() == "all cases passed"


@pytest.mark.timeout(300)
def test_kernels_under_the_interpreter():
    run_cases("cpu", TRITON_INTERPRET="1")


@pytest.mark.gpu
@pytest.mark.timeout(300)
def test_kernels_on_a_gpu():
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    run_cases("cuda", TRITON_INTERPRET="0")


def test_without_triton_or_gpu_one_sentence(monkeypatch):
    import torch

    monkeypatch.setattr(gpu, "is_interpreted", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(NotAvailableError, match="TRITON_INTERPRET=1"):
        softmax(np.zeros((1, 2), np.float32), version="gpu")
    from labkit.softmax import triton_kernels

    monkeypatch.setattr(triton_kernels, "raise_without", True)
    with pytest.raises(NotAvailableError, match="pip install triton"):
        softmax(np.zeros((1, 2), np.float32), version="gpu")
