"""A transformer by its sizes: how many parameters it has, how many operations it takes, and a stage's share of both."""

from __future__ import annotations

from dataclasses import dataclass

from labkit.errors import UsageError


@dataclass(frozen=True, slots=True)
class TransformerSize:
    """A GPT-like language model: blocks of attention and two products, the embedding used again as last matrix.

    Attributes
    ----------
    num_blocks, width, num_heads : int
        l, h, a in the papers.
    num_tokens : int
        Different tokens, V.
    length : int
        Tokens of a sample, s.

    Raises
    ------
    UsageError
        A size that is no positive whole number, or a width that is no multiple of the heads.

    References
    ----------
    Narayanan and others: Efficient large-scale language model training on GPU clusters using Megatron-LM, SC 2021
    (arXiv 2104.04473), equations 2 and 3.

    Examples
    --------
    >>> gpt_3 = TransformerSize(num_blocks=96, width=12288, num_heads=96)
    >>> f"{gpt_3.num_parameters / 1e9:.1f} B"
    '174.6 B'
    """

    num_blocks: int
    width: int
    num_heads: int
    num_tokens: int = 51200
    length: int = 2048

    def __post_init__(self):
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UsageError(f"{name}={value!r} must be a whole number of at least 1.")
        if self.width % self.num_heads:
            raise UsageError(f"width {self.width} must be a multiple of num_heads {self.num_heads}: choose such sizes.")

    @property
    def block_parameters(self) -> int:
        """Of one block: products 4 h^2 and 8 h^2, their biases 9 h, two normalisations 4 h."""
        return 12 * self.width**2 + 13 * self.width

    @property
    def num_parameters(self) -> int:
        """12 l h^2 (1 + 13 / (12 h) + (V + s) / (12 l h)): blocks, embedding, positions."""
        return self.num_blocks * self.block_parameters + (self.num_tokens + self.length) * self.width

    def blocks_of_stage(self, stage: int, num_stages: int) -> int:
        """Blocks of a pipeline stage; what does not divide goes to the stages without an embedding first.

        Examples
        --------
        >>> [TransformerSize(10, 64, 4).blocks_of_stage(stage, 4) for stage in range(4)]
        [2, 3, 3, 2]
        """
        self.check_stages(num_stages)
        base, extra = divmod(self.num_blocks, num_stages)
        order = sorted(range(num_stages), key=lambda s: (s == 0, s == num_stages - 1, s))
        return base + (stage in order[:extra])

    def check_stages(self, num_stages: int) -> None:
        """Raise if a stage would be empty."""
        if num_stages > self.num_blocks:
            raise UsageError(
                f"{num_stages} stages for {self.num_blocks} blocks: every stage needs at least one block. Take at most "
                f"{self.num_blocks} stages."
            )

    def stage_parameters(self, stage: int, num_stages: int, tp: int = 1) -> int:
        """Parameters that a rank of a stage holds, split in ``tp`` parts where tensor parallelism splits them.

        Products and the biases of their columns are split; normalisations, biases of rows and positions are not. With
        several stages the last one has a copy of the embedding.
        """
        split = 12 * self.width**2 + 7 * self.width
        whole = 6 * self.width
        num = self.blocks_of_stage(stage, num_stages) * (split // tp + whole)
        embedding = -(-self.num_tokens // tp) * self.width
        if stage == 0:
            num += embedding + self.length * self.width
        if stage == num_stages - 1 and num_stages > 1:
            num += embedding
        return num

    def block_operations(self, num_samples: int) -> int:
        """Of a forward pass through a block: two a multiplication and addition, 24 b s h^2 (1 + s / (6 h))."""
        return 24 * num_samples * self.length * self.width**2 + 4 * num_samples * self.length**2 * self.width

    def logit_operations(self, num_samples: int) -> int:
        """Of a forward pass through the last matrix: 2 b s h V."""
        return 2 * num_samples * self.length * self.width * self.num_tokens

    def step_operations(self, num_samples: int, *, checkpointing: bool = True) -> int:
        """Of forward and backward for a batch; with checkpointing the blocks run forward twice.

        With it: 96 B s l h^2 (1 + s / (6 h) + V / (16 l h)).

        Examples
        --------
        >>> size = TransformerSize(24, 2304, 24)
        >>> h, s, v, b = 2304, 2048, 51200, 512
        >>> formula = 96 * b * s * 24 * h**2 * (1 + s / (6 * h) + v / (16 * 24 * h))
        >>> abs(size.step_operations(b) / formula - 1) < 1e-12
        True
        """
        passes = 4 if checkpointing else 3
        return passes * self.num_blocks * self.block_operations(num_samples) + 3 * self.logit_operations(num_samples)
