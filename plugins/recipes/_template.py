"""Train a linear classifier: replace this line by what your recipe trains."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from superdef_bench import ConfigError, Task, hookimpl, load_dataset, progress_bar
from superdef_bench.nn import save_weights


class MyRecipe:
    """Linear classifier of 8x8 pixels (replace: one line, with its paper)."""

    def train(
        self,
        task: Task | None,
        *,
        data: str,
        out: Path,
        device: str,
        resume: bool,
        images: int = 1000,
        steps: int = 200,
        batch_size: int = 64,
        lr: float = 0.01,
        seed: int = 0,
    ) -> Sequence[Path]:
        """Train on the split `train` of the dataset plugin `data`; measure on `test`.

        Args:
            task: The classifier to work for; None, as here, where it is what is trained.
            data: Name of a dataset plugin with these splits.
            out: Folder for the files.
            device: Where to train.
            resume: Go on from a checkpoint; `superdef_bench.training` has what that takes.
            images: Training images, the first ones (replace: your settings, which are flags).
            steps: Gradient steps.
            batch_size: Images per step.
            lr: Learning rate of Adam.
            seed: Seed of weights and order.

        Returns:
            The weights (safetensors) and their provenance (JSON).
        """
        if min(images, steps, batch_size) < 1 or not lr > 0:
            raise ConfigError("images, steps, batch_size and lr are above 0")
        if resume:
            raise ConfigError("my_recipe writes no checkpoint", hint="leave --resume out")
        train, test = load_dataset(data, split="train"), load_dataset(data, split="test")
        x, y = (part.to(device) for part in train.load(range(min(images, len(train.ids)))))
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(x.shape[1] * 64, train.num_classes)
        ).to(device)
        optimizer = torch.optim.Adam(model.parameters(), lr=lr)
        with progress_bar(steps) as bar:
            for step in range(steps):
                batch = torch.randint(len(y), (batch_size,)).to(device)
                loss = functional.cross_entropy(model((x[batch] - 0.5) / 0.25), y[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                bar.show("training", f"step {step + 1}/{steps}")
                bar.advance(1)
        x, y = (part.to(device) for part in test.load(range(min(500, len(test.ids)))))
        with torch.no_grad():
            right = model((x - 0.5) / 0.25).argmax(dim=1) == y
        provenance = {
            "kind": "classifier",
            "recipe": "my_recipe",
            "settings": {
                "images": images,
                "steps": steps,
                "batch_size": batch_size,
                "lr": lr,
                "seed": seed,
            },
            "task": {
                "dataset": train.name,
                "class_names": list(train.class_names),
                "input_shape": list(x.shape[1:]),
                "train_sha256": train.sha256,
            },
            "test": {"accuracy": float(right.float().mean()), "images": len(y)},
        }
        path = out / "my_recipe.safetensors"
        save_weights(path, model.state_dict(), provenance)
        return [path, path.with_suffix(".json")]


@hookimpl
def register_recipes() -> dict[str, type[MyRecipe]]:
    return {"my_recipe": MyRecipe}
