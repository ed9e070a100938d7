"""Models and data small enough to train often; every rank makes them alike. The batch does not divide."""

import functools

import torch
from torch import nn

from labkit.training.data import load_characters, load_digits, load_reviews
from labkit.training.models.initial import initialise
from labkit.training.models.registry import make_model
from labkit.training.options import TrainingOptions

DIGITS, REVIEWS, CHARACTERS = load_digits().head(60, 20), load_reviews().head(40, 20), load_characters().head(40, 20)
OPTIONS = TrainingOptions(num_steps=3, batch_size=14, num_micro_batches=4, learning_rate=0.05)


class Skip(nn.Module):
    """A value of the first layer is used again by the last one."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = nn.Linear(64, 12), nn.Linear(12, 12), nn.Linear(12, 12)
        self.last = nn.Linear(12, 10)
        initialise(self, 0)

    def forward(self, inputs):
        kept = torch.relu(self.first(inputs.flatten(1)))
        values = torch.relu(self.second(kept))
        values = torch.relu(self.third(values))
        return self.last(values + kept)


class Recurrent(nn.Module):
    """The first layer gives several tensors: all of them stand in for the input, which wants no gradient."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.LSTM(8, 12, batch_first=True), nn.GRU(12, 6, batch_first=True)
        self.middle, self.last = nn.Linear(12, 6), nn.Linear(6, 10)
        initialise(self, 0)

    def forward(self, inputs):
        values, (_, cell) = self.first(inputs.view(-1, 8, 8))
        values, _ = self.second(values)
        return self.last(values[:, -1] + torch.tanh(self.middle(cell[0])))


def dropout():
    sizes = ((64, 16), (16, 16), (16, 16), (16, 10))
    layers = [nn.Flatten()]
    for number, (n, m) in enumerate(sizes):
        layers += [nn.Linear(n, m), nn.Dropout(0.3), nn.ReLU(inplace=True)] if number < 3 else [nn.Linear(n, m)]
    return initialise(nn.Sequential(*layers), 0)


mlp = functools.partial(make_model, "mlp", DIGITS, hidden=(16, 12, 8, 8))
cnn = functools.partial(make_model, "cnn", DIGITS, channels=(4, 6, 8))
classifier = functools.partial(make_model, "transformer", REVIEWS, width=16, num_blocks=3)
language = functools.partial(make_model, "transformer", CHARACTERS, width=16, num_blocks=3)
MODELS = {
    "mlp": (mlp, DIGITS), "cnn": (cnn, DIGITS), "classifier": (classifier, REVIEWS), "language": (language, CHARACTERS),
    "dropout": (dropout, DIGITS), "skip": (Skip, DIGITS), "recurrent": (Recurrent, DIGITS),
}
