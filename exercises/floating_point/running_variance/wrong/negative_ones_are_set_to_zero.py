"""The textbook's two sums; where the variance comes out negative it is set to 0.

status: incorrect
feedback: the digits are lost
"""

def running_variance(x):
    variances, total, squares = [], 0.0, 0.0
    for k, value in enumerate(x.tolist()):
        total += value
        squares += value * value
        variances.append(max((squares - total * total / (k + 1)) / (k + 1), 0.0))
    return variances
