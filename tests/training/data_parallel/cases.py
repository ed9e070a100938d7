"""Models and options that reach the hard cases: uneven and empty shards, tied, frozen and unused parameters."""

import torch

from labkit.training.data import load_digits, load_reviews
from labkit.training.models.initial import initialise
from labkit.training.models.registry import make_model
from labkit.training.options import TrainingOptions

torch.set_num_threads(1)
DIGITS = load_digits().head(43, 20)  # 43 = 4 x 10 + 3: batches of 10, and one of 3 that leaves a rank of 4 without any
REVIEWS = load_reviews(num_words=60, length=6).head(43, 20)
OPTIONS = TrainingOptions(num_steps=20, batch_size=10, learning_rate=0.05, seed=3)


class Odd(torch.nn.Module):
    """Equally long layers; a tied weight, a frozen one, and one that is never used."""

    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Linear(64, 24)
        self.square = torch.nn.Linear(24, 24)
        self.other = torch.nn.Linear(24, 24)
        self.other.weight = self.square.weight
        self.fixed = torch.nn.Linear(24, 24).requires_grad_(False)
        self.unused = torch.nn.Linear(5, 5)
        self.last = torch.nn.Linear(24, 10)
        initialise(self, 1)

    def forward(self, inputs):
        values = torch.tanh(self.inner(inputs.flatten(1)))
        values = torch.tanh(self.other(torch.tanh(self.square(values))))
        return self.last(values + self.fixed(values))


def mlp():
    return make_model("mlp", DIGITS, hidden=(24, 24), seed=1)


def exact_mlp():
    """In double precision: tolerances of 1e-13 leave no room for small slips."""
    return mlp().double()


def cnn():
    return make_model("cnn", DIGITS, channels=(4, 6), seed=1)


def transformer():
    return make_model("transformer", REVIEWS, width=16, num_heads=2, num_blocks=1, seed=1)
