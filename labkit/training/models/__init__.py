"""Models to train: each is made from its sizes and a seed, and equal wherever it is made.

================  ============================================================================================
file              what it has
================  ============================================================================================
initial.py        first values of parameters, from their name and the seed alone
dropout.py        dropout that depends on where an element is, not on who computes it
mlp.py            layers of products and ReLU
cnn.py            a small convolutional network with batch norm
transformer.py    a small transformer: a class for a sentence, or the next character
registry.py       ``make_model("mlp", data, seed=0)``: one that fits a data set
================  ============================================================================================
"""
