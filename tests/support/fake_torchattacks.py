"""A package with the name and the public interface of torchattacks, and two small attacks."""

from pathlib import Path

SOURCE = '''
"""Stands for torchattacks."""

import torch
from torch.nn.functional import cross_entropy


class Attack:
    def __init__(self, name, model):
        self.attack, self.model = name, model
        self.device = next(model.parameters()).device

    def __call__(self, inputs, labels=None):
        self.model.eval()
        return self.forward(inputs.to(self.device), labels.to(self.device))


class PGD(Attack):
    """Steps of the gradient's sign from a random start."""

    def __init__(self, model, eps=8 / 255, alpha=2 / 255, steps=10, random_start=True):
        super().__init__("PGD", model)
        self.eps, self.alpha, self.steps, self.random_start = eps, alpha, steps, random_start

    def forward(self, images, labels):
        found = images.clone()
        if self.random_start:
            found = found + torch.empty_like(found).uniform_(-self.eps, self.eps)
        for _ in range(self.steps):
            found = found.detach().clamp(0, 1).requires_grad_()
            loss = cross_entropy(self.model(found), labels)
            (slope,) = torch.autograd.grad(loss, found)
            found = found + self.alpha * slope.sign()
            found = images + (found - images).clamp(-self.eps, self.eps)
        return found.detach().clamp(0, 1)


class FGSM(Attack):
    """Leaves the ball by a half, as a library may."""

    def __init__(self, model, eps=8 / 255):
        super().__init__("FGSM", model)
        self.eps = eps

    def forward(self, images, labels):
        return (images + 1.5 * self.eps).clamp(0, 1)


class Square(Attack):
    """One try at random that notes what it was given."""

    def __init__(self, model, norm="Linf", eps=8 / 255, n_queries=5000, seed=0):
        super().__init__("Square", model)
        self.norm, self.eps, self.n_queries, self.seed = norm, eps, n_queries, seed

    def forward(self, images, labels):
        assert self.norm == "Linf", self.norm
        torch.manual_seed(self.seed)
        with torch.no_grad():
            for _ in range(self.n_queries):
                tried = images + self.eps * torch.randn_like(images).sign()
                self.model(tried.clamp(0, 1))
        return tried.clamp(0, 1)
'''


def write_fake(folder: Path) -> Path:
    """Write the package into a folder, to be put on the path, and return the folder."""
    (folder / "torchattacks").mkdir(parents=True)
    (folder / "torchattacks" / "__init__.py").write_text(SOURCE)
    return folder
