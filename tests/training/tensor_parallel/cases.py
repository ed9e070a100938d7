"""Models and data for the tests, on simulated and on real ranks."""

import torch

from labkit.training.data import load_characters, load_digits, load_reviews
from labkit.training.models.mlp import MLP
from labkit.training.models.registry import make_model
from labkit.training.options import TrainingOptions

torch.set_num_threads(1)
DIGITS = load_digits().head(43, 20)
REVIEWS = load_reviews().head(40, 11)
CHARACTERS = load_characters(length=9).head(50, 8)  # 102 tokens: no multiple of 4, and 9 places: of no number but 3
OPTIONS = TrainingOptions(num_steps=20, batch_size=7, learning_rate=0.05, seed=3)
ADAM = OPTIONS.replace(
    optimizer="adam", learning_rate=0.003, weight_decay=0.1, num_micro_batches=2, max_gradient_norm=0.5
)


def mlp():
    return MLP((64, 10, 7, 10), seed=1)


def reviews(dropout=0.2):
    return make_model("transformer", REVIEWS, width=12, num_heads=12, num_blocks=2, seed=1, dropout=dropout)


def language(dropout=0.1):
    return make_model("transformer", CHARACTERS, width=24, num_heads=12, num_blocks=2, seed=1, dropout=dropout)


CASES = {"mlp": (mlp, DIGITS, OPTIONS), "reviews": (reviews, REVIEWS, OPTIONS), "language": (language, CHARACTERS, ADAM)}
