"""Models and data for meshes: dropout, tied tables, clipping, batches that do not divide."""

import functools

from labkit.training.data import load_characters, load_digits, load_reviews
from labkit.training.models.registry import make_model
from labkit.training.options import TrainingOptions

DIGITS = load_digits().head(40, 20)
REVIEWS = load_reviews(num_words=61, length=6).head(40, 20)
CHARACTERS = load_characters(length=7).head(40, 20)
OPTIONS = TrainingOptions(num_steps=5, batch_size=11, num_micro_batches=3, learning_rate=0.05, max_gradient_norm=1.0)
MOMENTUM = OPTIONS.replace(momentum=0.9)
mlp = functools.partial(make_model, "mlp", DIGITS, hidden=(16, 12, 9))
reviews = functools.partial(make_model, "transformer", REVIEWS, width=12, num_heads=4, num_blocks=3, dropout=0.1)
language = functools.partial(make_model, "transformer", CHARACTERS, width=12, num_heads=4, num_blocks=3, dropout=0.1)
cnn = functools.partial(make_model, "cnn", DIGITS, channels=(4, 6), batch_norm=False)
CASES = {
    "mlp": (mlp, DIGITS, OPTIONS), "reviews": (reviews, REVIEWS, OPTIONS), "language": (language, CHARACTERS, MOMENTUM),
    "cnn": (cnn, DIGITS, OPTIONS),
}
