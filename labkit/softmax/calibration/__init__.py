"""Classification for real: a network's logits to probabilities, and whether the probabilities are true.

==================  ===================================================================================================
network.py          a small network that learns handwritten digits, with the cross-entropy of :mod:`labkit.softmax`
reliability.py      confidence against accuracy: the reliability curve, its expected calibration error, the likelihood
temperature.py      one number that mends confidence: fitted on pictures held out
loss_line.py        why not the share of errors itself: it has steps and no slope, cross-entropy has one
study.py            all of it on the digits, trained once
==================  ===================================================================================================

The largest logit alone says which class, and nothing of how sure that is. Softmax makes probabilities of logits; a
network that has learnt its training pictures by heart gives probabilities that are too large. Dividing the logits by a
temperature changes no prediction, since the largest stays the largest, and can make "90 %" come true 9 times of 10.

References
----------
Guo, Pleiss, Sun, Weinberger: On calibration of modern neural networks, ICML 2017.
"""
