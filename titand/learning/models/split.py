"""What every model of titand is: first block | rest | head.

The filter runs the first block alone. Scoring needs the head's input, because the gradient of the last layer is a
product of two things that one forward pass already has:

    d loss / d W_c = residual_c * hidden_c          residual = softmax(logits) - onehot(label)

A head therefore gives its logits together with `hidden`, the factor of the residual, bias included.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

Shape = tuple[int, ...]


class LinearHead(nn.Linear):
    """Logits = W h + b. All classes share one factor: hidden = [h, 1]."""

    def with_hidden(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits and the factor of the residual in this layer's gradient.

        Args:
            h: [N, D] input of the head.

        Returns:
            [N, C] logits and [N, D + 1] hidden, its last column 1 for the bias.

        >>> logits, hidden = LinearHead(2, 3).with_hidden(torch.tensor([[5.0, 7.0]]))
        >>> hidden
        tensor([[5., 7., 1.]])
        """
        return self(h), torch.cat([h, h.new_ones(len(h), 1)], dim=1)


class ConvHead(nn.Conv2d):
    """SqueezeNet's head: 1x1 convolution, ReLU, mean over positions.

    logit_c = mean_p relu(W_c . F_p + b_c), hence d logit_c / d W_c = mean_p 1[z_cp > 0] F_p: the factor of the residual
    differs from class to class, by the positions at which the class is switched on.
    """

    def __init__(self, in_features: int, class_count: int) -> None:
        super().__init__(in_features, class_count, kernel_size=1)

    def forward(self, field: Tensor) -> Tensor:
        """Map [N, D, H, W] to logits [N, C]."""
        return torch.relu(super().forward(field)).mean(dim=(2, 3))

    def with_hidden(self, field: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits and the factor of the residual in this layer's gradient.

        Args:
            field: [N, D, H, W] input of the head.

        Returns:
            [N, C] logits and [N, C, D + 1] hidden, its last column the share of positions switched on, for the bias.
        """
        z = super().forward(field).flatten(2)  # [N, C, P]
        position = field.flatten(2).transpose(1, 2)  # [N, P, D]
        position = torch.cat([position, torch.ones_like(position[..., :1])], dim=2)
        on = (z > 0).to(z.dtype)
        return torch.relu(z).mean(dim=2), on @ position / z.shape[2]


class SplitModel(nn.Module):
    """A classifier in three parts: head(rest(first_block(x))) are the logits."""

    def __init__(self, first_block: nn.Module, rest: nn.Module, head: LinearHead | ConvHead) -> None:
        super().__init__()
        self.first_block = first_block
        self.rest = rest
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised input [N, *shape] to logits [N, C]."""
        logits: Tensor = self.head(self.rest(self.first_block(x)))
        return logits
