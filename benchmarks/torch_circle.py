"""GAN-CIRCLE's step in PyTorch, written straightforwardly: what train_circle.py measures against.

torch.optim.Adam, torch.autocast for bfloat16, either layout of tensors; the same mathematics and
the same weights as srmri_tf's. Each network is called on each batch by itself; images that both
updates need are made once.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

WIDTHS = (64, 54, 48, 43, 39, 35, 31, 28, 25, 22, 18, 16)
STAGES = tuple((width, stride) for width in (64, 128, 256, 512) for stride in (1, 2))
GENERATOR = (*(f"feat{i}" for i in range(1, 13)), "A1", "B1", "B2", "C1", "C2", "out")
"""Layers of the Keras generator, in the order of this one's parameters."""


class Generator(nn.Module):
    """Twelve blocks, their concatenation, the reconstruction; the input is added."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.blocks = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1) for a, b in zip((1, *WIDTHS), WIDTHS, strict=False)
        )
        self.a1 = nn.Conv2d(sum(WIDTHS), 24, 1)
        self.b1 = nn.Conv2d(sum(WIDTHS), 8, 1)
        self.b2 = nn.Conv2d(8, 8, 3, padding=1)
        self.c1 = nn.Conv2d(32, 32, 3, padding=1)
        self.c2 = nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1, bias=False)
        self.out = nn.Conv2d(16, 1, 3, padding=1, bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x, collected = images, []
        for i, conv in enumerate(self.blocks):
            if i == 0:  # TensorFlow's "same" padding of a stride-2 layer is at the far side only
                x = functional.pad(x, (0, 1, 0, 1))
                x = functional.conv2d(x, conv.weight, conv.bias, stride=2)
            else:
                x = conv(x)
            x = functional.dropout(functional.leaky_relu(x, 0.1), self.dropout)
            collected.append(x)
        features = torch.cat(collected, dim=1)
        b2 = _leaky(self.b2(_leaky(self.b1(features))))
        x = _leaky(self.c1(torch.cat([_leaky(self.a1(features)), b2], dim=1)))
        return images + self.out(_leaky(self.c2(x))).float()


class Critic(nn.Module):
    """Eight 4x4 convolutions with instance norm, two dense layers."""

    def __init__(self, side: int) -> None:
        super().__init__()
        widths = (1, *(width for width, _ in STAGES))
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 4, stride=stride)
            for a, (b, stride) in zip(widths, STAGES, strict=False)
        )
        self.norms = nn.ModuleList(
            nn.InstanceNorm2d(width, eps=1.0, affine=True) for width, _ in STAGES[1:]
        )
        self.dense1 = nn.Linear((side // 16) ** 2 * 512, 1024)
        self.dense2 = nn.Linear(1024, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for i, conv in enumerate(self.convs):
            after = 2 if STAGES[i][1] == 1 else 1
            x = conv(functional.pad(x, (1, after, 1, after)))
            x = functional.leaky_relu(self.norms[i - 1](x) if i else x, 0.2)
        x = x.permute(0, 2, 3, 1).reshape(len(x), -1)  # rows, columns, channels, as Keras flattens
        return self.dense2(functional.leaky_relu(self.dense1(x), 0.2)).float()


class Step:
    """The whole supervised training step.

    Args:
        bfloat16: Whether to run under autocast.
        dropout: As in the recipe.
        side: Of the patches.
        channels_last: Which layout tensors have: (B, H, W, C) or (B, C, H, W).
        device: ``cpu`` or ``cuda``.
    """

    def __init__(
        self,
        bfloat16: bool,
        dropout: float,
        side: int = 64,
        channels_last: bool = True,
        device: str = "cpu",
    ) -> None:
        self.bfloat16, self.device = bfloat16, device
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        networks = [Generator(dropout), Generator(dropout), Critic(side), Critic(side)]
        self.g, self.f, self.d_y, self.d_x = (
            net.to(device, memory_format=self.layout) for net in networks
        )
        generators = [*self.g.parameters(), *self.f.parameters()]
        critics = [*self.d_y.parameters(), *self.d_x.parameters()]
        self.generator_adam = torch.optim.Adam(generators, 1e-4, (0.5, 0.9))
        self.critic_adam = torch.optim.Adam(critics, 1e-4, (0.5, 0.9))

    def __call__(
        self, lr: np.ndarray, hr: np.ndarray, alphas: list[np.ndarray]
    ) -> dict[str, float]:
        """One step on (B, H, W, 1) arrays."""
        x, y = (
            torch.as_tensor(z, device=self.device)
            .permute(0, 3, 1, 2)
            .contiguous(memory_format=self.layout)
            for z in (lr, hr)
        )
        with torch.autocast(self.device, torch.bfloat16, enabled=self.bfloat16):
            y_fake, x_fake = self.g(x), self.f(y)
            logs = self._critic_update(x, y, x_fake.detach(), y_fake.detach(), alphas)
            return logs | self._generator_update(x, y, x_fake, y_fake)

    def _critic_update(
        self,
        x: torch.Tensor,
        y: torch.Tensor,
        x_fake: torch.Tensor,
        y_fake: torch.Tensor,
        alphas: list[np.ndarray],
    ) -> dict[str, float]:
        self.critic_adam.zero_grad()
        loss = torch.zeros((), device=self.device)
        trios = ((self.d_y, y, y_fake), (self.d_x, x, x_fake))
        for alpha, (critic, real, fake) in zip(alphas, trios, strict=True):
            alpha = torch.as_tensor(alpha, device=self.device)
            loss = loss + critic(fake).mean() - critic(real).mean()
            between = (alpha * real + (1 - alpha) * fake).requires_grad_(True)
            (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
            norms = slope.float().square().sum(dim=(1, 2, 3)).add(1e-12).sqrt()
            loss = loss + 10 * (norms - 1).square().mean()
        loss.backward()
        self.critic_adam.step()
        return {"critic_loss": loss.item()}

    def _generator_update(
        self, x: torch.Tensor, y: torch.Tensor, x_fake: torch.Tensor, y_fake: torch.Tensor
    ) -> dict[str, float]:
        self.generator_adam.zero_grad()
        terms = {
            "cycle": _l1(self.f(y_fake), x) + _l1(self.g(x_fake), y),
            "identity": _l1(self.g(y), y) + _l1(self.f(x), x),
            "sparsity": 0.1 * _variation(y_fake) + 0.9 * _variation(y - y_fake),
            "supervised": _l1(y_fake, y) + _l1(x_fake, x),
            "adversarial": -self.d_y(y_fake).mean() - self.d_x(x_fake).mean(),
        }
        weights = {"identity": 0.5, "sparsity": 0.001}
        loss = sum(weights.get(name, 1.0) * term for name, term in terms.items())
        loss.backward()
        self.generator_adam.step()
        return {"generator_loss": loss.item()} | {k: v.item() for k, v in terms.items()}

    def load(self, networks: list[list[np.ndarray]]) -> None:
        """Take over Keras weights of G, F, D_Y and D_X, in this module's order of parameters."""
        for net, arrays in zip((self.g, self.f, self.d_y, self.d_x), networks, strict=True):
            with torch.no_grad():
                for parameter, array in zip(net.parameters(), arrays, strict=True):
                    axes = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[array.ndim]
                    parameter.copy_(torch.from_numpy(array.transpose(axes).copy()))


def _leaky(x: torch.Tensor) -> torch.Tensor:
    return functional.leaky_relu(x, 0.1)


def _l1(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return (first - second).abs().sum(dim=(1, 2, 3)).mean()


def _variation(images: torch.Tensor) -> torch.Tensor:
    rows, columns = images.diff(dim=2).abs(), images.diff(dim=3).abs()
    return (rows.sum(dim=(1, 2, 3)) + columns.sum(dim=(1, 2, 3))).mean()
