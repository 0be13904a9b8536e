"""GAN-CPCE's step in PyTorch, written straightforwardly: what train_cpce.py measures against.

torch.optim.Adam, torch.autocast for bfloat16, either layout of tensors; the same mathematics and
the same weights as srmri_tf's.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

BGR_MEAN = (103.939, 116.779, 123.68)
VGG_WIDTHS = (64, 64, "M", 128, 128, "M", *[256] * 4, "M", *[512] * 4, "M", *[512] * 4)
GENERATOR = (
    *(f"conv{i}" for i in (1, 2, 3, 4)),
    *(f"deconv{i}" for i in (5, 6, 7)),
    *(f"squeeze{i}" for i in (5, 6, 7)),
    "deconv8",
)
"""Layers of the Keras generator, in the order of this one's parameters."""


class Generator(nn.Module):
    """conv1-4, deconv5-8 with conveying paths and 1x1 convolutions; no biases."""

    def __init__(self) -> None:
        super().__init__()
        widths = (1, 32, 32, 32, 32)
        self.encoder = nn.ModuleList(
            nn.Conv2d(a, b, 3, bias=False) for a, b in zip(widths, widths[1:], strict=False)
        )
        self.decoder = nn.ModuleList(nn.ConvTranspose2d(32, 32, 3, bias=False) for _ in range(3))
        self.squeeze = nn.ModuleList(nn.Conv2d(64, 32, 1, bias=False) for _ in range(3))
        self.last = nn.ConvTranspose2d(32, 1, 3, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        paths = []
        for conv in self.encoder:
            x = torch.relu(conv(x))
            paths.append(x)
        paths.pop()
        for deconv, squeeze in zip(self.decoder, self.squeeze, strict=True):
            x = torch.relu(squeeze(torch.cat([paths.pop(), torch.relu(deconv(x))], dim=1)))
        return torch.relu(self.last(x)).float()


class Critic(nn.Module):
    """Six convolutions, two dense layers."""

    def __init__(self) -> None:
        super().__init__()
        widths = (1, 64, 64, 128, 128, 256, 256)
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=1 + i % 2, padding=1)
            for i, (a, b) in enumerate(zip(widths, widths[1:], strict=False))
        )
        self.dense1 = nn.Linear(8 * 8 * 256, 1024)
        self.dense2 = nn.Linear(1024, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for i, conv in enumerate(self.convs):
            if i % 2:  # TensorFlow's "same" padding of a stride-2 layer is at the far side only
                x = functional.conv2d(functional.pad(x, (0, 1, 0, 1)), conv.weight, conv.bias, 2)
            else:
                x = conv(x)
            x = functional.leaky_relu(x, 0.2)
        x = x.permute(0, 2, 3, 1).reshape(len(x), -1)  # rows, columns, channels, as Keras flattens
        return self.dense2(functional.leaky_relu(self.dense1(x), 0.2)).float()


class Vgg(nn.Module):
    """The sixteen convolutions of VGG-19, to block5_conv4 after its ReLU."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width in VGG_WIDTHS:
            if width == "M":
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
                before = width
        self.layers = nn.Sequential(*layers)
        self.register_buffer("mean", torch.tensor(BGR_MEAN).view(1, 3, 1, 1))
        self.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(255.0 * x.repeat(1, 3, 1, 1) - self.mean).float()


class Step:
    """The whole training step.

    Args:
        n_critic: Critic updates per generator update.
        bfloat16: Whether to run under autocast.
        channels_last: Which layout tensors have: (B, H, W, C) or (B, C, H, W).
        device: ``cpu`` or ``cuda``.
    """

    def __init__(
        self, n_critic: int, bfloat16: bool, channels_last: bool = True, device: str = "cpu"
    ) -> None:
        self.n_critic, self.bfloat16, self.device = n_critic, bfloat16, device
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        kinds = (Generator, Critic, Vgg)
        self.generator, self.critic, self.vgg = (
            kind().to(device, memory_format=self.layout) for kind in kinds
        )
        self.generator_adam = torch.optim.Adam(self.generator.parameters(), 1e-4)
        self.critic_adam = torch.optim.Adam(self.critic.parameters(), 1e-4)

    def __call__(
        self, lr: np.ndarray, hr: np.ndarray, alphas: list[np.ndarray]
    ) -> dict[str, float]:
        """One step on (N, H, W, 1) arrays, dealt to the critic updates as srmri_tf does."""
        lr, hr = (
            torch.as_tensor(x, device=self.device)
            .permute(0, 3, 1, 2)
            .contiguous(memory_format=self.layout)
            for x in (lr, hr)
        )
        n = self.n_critic
        with torch.autocast(self.device, torch.bfloat16, enabled=self.bfloat16):
            for k in range(n):
                logs = self._critic_update(
                    lr[k::n], hr[k::n], torch.as_tensor(alphas[k], device=self.device)
                )
            return logs | self._generator_update(lr[n - 1 :: n], hr[n - 1 :: n])

    def _critic_update(
        self, lr: torch.Tensor, hr: torch.Tensor, alpha: torch.Tensor
    ) -> dict[str, float]:
        with torch.no_grad():
            fake = self.generator(lr)
        self.critic_adam.zero_grad()
        distance = self.critic(fake).mean() - self.critic(hr).mean()
        between = (alpha * hr + (1 - alpha) * fake).requires_grad_(True)
        (gradient,) = torch.autograd.grad(self.critic(between).sum(), between, create_graph=True)
        norms = gradient.float().square().sum(dim=(1, 2, 3)).add(1e-12).sqrt()
        penalty = (norms - 1).square().mean()
        loss = distance + 10 * penalty
        loss.backward()
        self.critic_adam.step()
        return {"critic_loss": loss.item(), "gradient_penalty": penalty.item()}

    def _generator_update(self, lr: torch.Tensor, hr: torch.Tensor) -> dict[str, float]:
        self.generator_adam.zero_grad()
        sr = self.generator(lr)
        perceptual = functional.mse_loss(self.vgg(sr), self.vgg(hr))
        loss = 0.1 * perceptual - self.critic(sr).mean()
        loss.backward()
        self.generator_adam.step()
        return {"generator_loss": loss.item(), "perceptual": perceptual.item()}

    def load(self, arrays: dict[str, list[np.ndarray]]) -> None:
        """Take over Keras weights: (row, column, in, out) kernels and (in, out) matrices."""
        nets = {"generator": self.generator, "critic": self.critic, "vgg": self.vgg}
        for name, net in nets.items():
            with torch.no_grad():
                for parameter, array in zip(net.parameters(), arrays[name], strict=True):
                    axes = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[array.ndim]
                    parameter.copy_(torch.from_numpy(array.transpose(axes).copy()))
