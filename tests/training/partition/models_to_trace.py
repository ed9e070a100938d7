"""Models whose forward passes are hard to take apart, each for one reason."""

import torch
from torch import nn
from torch.nn import functional


class ResidualBlock(nn.Module):
    """The input goes around two convolutions; activations change in place, and one ReLU is called twice."""

    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.conv_1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1)
        self.norm_1, self.norm_2 = nn.BatchNorm2d(out_channels), nn.BatchNorm2d(out_channels)
        self.conv_2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1)
        self.relu = nn.ReLU(inplace=True)
        self.down = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride), nn.BatchNorm2d(out_channels)) \
            if stride > 1 else None

    def forward(self, x):
        y = self.norm_2(self.conv_2(self.relu(self.norm_1(self.conv_1(x)))))
        if self.down is not None:
            x = self.down(x)
        y += x
        return self.relu(y)


class ResNet(nn.Module):
    def __init__(self, num_blocks=3):
        super().__init__()
        self.stem, self.relu = nn.Conv2d(3, 8, 3), nn.ReLU(inplace=True)
        self.blocks = nn.Sequential(*(ResidualBlock(8, 8) for _ in range(num_blocks - 1)), ResidualBlock(8, 16, 2))
        self.pool, self.drop, self.classify = nn.AdaptiveAvgPool2d(1), nn.Dropout(0.5), nn.Linear(16, 10)

    def forward(self, x):
        values = self.blocks(self.relu(self.stem(x)))
        return self.classify(self.drop(torch.flatten(self.pool(values), 1)))


class AsksForValues(nn.Module):
    """Goes one way or the other by what is in a tensor."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x):
        x = self.a(x)
        if x.sum() > 1e9:  # the line that the message names
            x = self.b(x)
        return self.c(x)


class AsksForTypes(nn.Module):
    """Does more for a tensor than for what a tracer passes instead."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        if type(x) is torch.Tensor:
            x = self.a(x)
        return self.b(x)


class ChangesItsMind(nn.Module):
    """Every other run leaves a layer out."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.num_runs = nn.Linear(4, 4), nn.Linear(4, 2), 0

    def forward(self, x):
        self.num_runs += 1
        return self.b(self.a(x) if self.num_runs % 2 else x)


class AsksForShapes(nn.Module):
    """Loops and branches by shapes, unpacks them, and has an argument that is not given."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x, mask=None):
        n, length, width = x.shape
        for _ in range(2 if length > 2 else 1):
            x = x + 1
        if mask is not None:
            x = x * mask
        return self.b(functional.gelu(self.a(x.reshape(n * length, width))).view(n, length, -1))


class Reused(nn.Module):
    """One linear layer runs three times, with a norm between; one ReLU is used everywhere."""

    def __init__(self):
        super().__init__()
        self.first, self.again, self.norm = nn.Linear(4, 4), nn.Linear(4, 4), nn.LayerNorm(4)
        self.last, self.relu = nn.Linear(4, 2), nn.ReLU()

    def forward(self, x):
        x = self.relu(self.first(x))
        for _ in range(3):
            x = self.norm(self.relu(self.again(x)))
        return self.last(self.relu(x))


class Tied(nn.Module):
    """The last matrix is the embedding, as a module's parameter of another name."""

    def __init__(self):
        super().__init__()
        self.embed, self.middle = nn.Embedding(7, 4), nn.Linear(4, 4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embed.weight
        self.unused = nn.Linear(3, 3)

    def forward(self, tokens):
        return self.head(torch.tanh(self.middle(self.embed(tokens))))


class TwoInputs(nn.Module):
    """Gives and takes two tensors; the second input is needed at the end only."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 1)

    def forward(self, x, y):
        return self.c(self.b(self.a(x)) + y), y


class NoModules(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return x * self.weight
