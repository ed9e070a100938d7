"""The learning rate of each step: scaled with the batch, and warmed up.

References
----------
P. Goyal et al., Accurate, large minibatch SGD: training ImageNet in 1 hour, 2017 (arXiv 1706.02677), section 2.
"""

from __future__ import annotations

from labkit.training.options import TrainingOptions


def target_rate(options: TrainingOptions) -> float:
    """The learning rate after the warm-up: k times the batch, k times the rate.

    A k times larger batch makes 1/k of the steps an epoch, each with a gradient that is a mean of k old ones; with
    a k times larger rate one step does what k steps did, as long as the gradient changes little meanwhile.

    Examples
    --------
    >>> target_rate(TrainingOptions(learning_rate=0.1, batch_size=1024, base_batch_size=256))
    0.4
    """
    if options.base_batch_size is None:
        return options.learning_rate
    return options.learning_rate * options.batch_size / options.base_batch_size


def learning_rate_at(step: int, options: TrainingOptions) -> float:
    """The learning rate of a step, counted from 0.

    During the warm-up it grows linearly from the unscaled rate (from a share 1/(warmup_steps + 1) of the rate, if
    nothing is scaled up) to :func:`target_rate`, because right at the start the gradient does change quickly.

    Examples
    --------
    >>> options = TrainingOptions(learning_rate=0.1, batch_size=512, base_batch_size=256, warmup_steps=4)
    >>> [round(learning_rate_at(step, options), 6) for step in range(6)]
    [0.1, 0.125, 0.15, 0.175, 0.2, 0.2]
    """
    target = target_rate(options)
    if step >= options.warmup_steps:
        return target
    first = options.learning_rate if target > options.learning_rate else target / (options.warmup_steps + 1)
    return first + (target - first) * step / options.warmup_steps
