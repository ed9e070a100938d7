"""One all-reduce a parameter: the shortest text, and the most messages."""

from __future__ import annotations

from labkit.training.data_parallel.replicated import Replicated


class Naive(Replicated):
    """After the backward pass, add up the gradient of one parameter after the other.

    Every call pays its latency, also those of the many short biases.

    Notes
    -----
    A call a parameter; 2 n (p - 1) / p bytes a rank, for n bytes of gradients, with a ring.
    """

    name = "naive"

    def attach(self, comm, model, optimizer_factory, options, recorder) -> None:
        super().attach(comm, model, optimizer_factory, options, recorder)
        self.reducer.prepare(self.comm, [parameter.numel() for parameter in self.parameters])

    def reduce_gradients(self) -> None:
        for key, parameter in enumerate(self.parameters):
            self.reduce(self.comm, parameter.grad.view(-1), key, f"gradient {key}")
