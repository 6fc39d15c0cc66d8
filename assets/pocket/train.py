"""Train the pocket model: `python assets/pocket/train.py --out FOLDER`, then `python assets/pocket/export.py FOLDER`.

Needs torch (`pip install torch==2.13.0`), which the product itself never uses. One thread unless told otherwise; equal
seeds and steps on one machine give the same batches. Matrices inside the layers are trained by Muon, everything else
by Adam; the learning rate rises, stays and falls to zero over the last part. `--resume` continues a stopped training,
`--steps` and `--cooldown` may then differ: a model can be cooled down from any checkpoint.

Source: Muon is Jordan et al. (2024), kellerjordan.github.io/posts/muon; Adam is Kingma and Ba (2015), 1412.6980.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from assets.pocket.batches import Batch, Source
from assets.pocket.network import Pocket, Shape
from assets.pocket.prompts import store_fingerprints
from assets.pocket.tokens import Tokenizer

WARM_UP = 40
AVERAGE = 0.99  # share of the averaged weights that stays at each step; the average is what is exported
REPORT_EVERY = 50
SAVE_EVERY = 250
NORM = 64.0  # rows that the summed loss of a step is divided by
COLUMNS = ("step", "seconds", "rows", "tokens", "rate", "divergence", "distance", "texts")


def orthogonal(matrix: Tensor) -> Tensor:
    """Return the nearest semi-orthogonal matrix, roughly: five Newton-Schulz steps; batches of matrices are allowed."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix / (matrix.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    for _ in range(5):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum whose matrix updates are made orthogonal.

    Args:
        matrices: Pairs of parameter and number of square parts stacked in it.
        lr: Size of an update per entry, relative to an orthogonal matrix.
    """

    def __init__(self, matrices: Iterable[tuple[Tensor, int]], lr: float, momentum: float = 0.95) -> None:
        pairs = list(matrices)
        self.parts = dict(pairs)
        super().__init__([parameter for parameter, _ in pairs], {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Move every matrix."""
        for group in self.param_groups:
            for parameter in group["params"]:
                held = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
                held.lerp_(parameter.grad, 1 - group["momentum"])
                update = parameter.grad.lerp(held, group["momentum"])
                parts = update.view(self.parts[parameter], -1, update.shape[-1])
                scale = max(1.0, parts.shape[-2] / parts.shape[-1]) ** 0.5
                parameter.add_(orthogonal(parts).view_as(parameter), alpha=-group["lr"] * scale)


def rate_at(step: int, steps: int, cooldown: int) -> float:
    """Return the learning rate's factor: a rise, a plateau, a straight fall to zero."""
    return min(1.0, (step + 1) / WARM_UP, max(0.0, (steps - step) / max(cooldown, 1)))


class Trainer:
    """Model, optimizers, batches and the record of one training."""

    def __init__(self, settings: argparse.Namespace) -> None:
        self.settings = settings
        torch.manual_seed(settings.seed)
        torch.set_num_threads(settings.threads)
        self.tokenizer = Tokenizer.load()
        shape = Shape(
            self.tokenizer.n_vocab, settings.width, settings.layers, settings.width // 32, settings.feed_forward
        )
        self.model = Pocket(shape)
        inside = [
            (p, 3 if "qkv" in n else 2 if "gate_up" in n else 1)
            for n, p in self.model.blocks.named_parameters()
            if p.ndim == 2
        ]
        known = {id(p) for p, _ in inside}
        self.muon = Muon(inside, settings.rate)
        others = [p for p in self.model.parameters() if id(p) not in known]
        self.adam = torch.optim.AdamW(others, lr=settings.adam_rate, betas=(0.9, 0.95), weight_decay=0.0)
        self.compiled = torch.compile(self.model, dynamic=True) if settings.compile else self.model
        self.average = [parameter.detach().clone() for parameter in self.model.parameters()]
        self.step = self.rows = self.tokens = 0
        self.seconds = 0.0
        self.record: list[list[float]] = []

    def save(self, path: Path) -> None:
        """Write everything that a continuation needs."""
        state = {
            "shape": self.model.shape.to_dict(),
            "model": self.model.state_dict(),
            "average": {
                name: held for (name, _), held in zip(self.model.named_parameters(), self.average, strict=True)
            },
            "muon": self.muon.state_dict(),
            "adam": self.adam.state_dict(),
            "counts": (self.step, self.rows, self.tokens, self.seconds),
            "record": self.record,
            "settings": vars(self.settings),
        }
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    def load(self, path: Path) -> None:
        """Continue a checkpoint."""
        state = torch.load(path, weights_only=False)
        self.model.load_state_dict(state["model"])
        self.average = list(state["average"].values())
        self.muon.load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])
        self.step, self.rows, self.tokens, self.seconds = state["counts"]
        self.record = state["record"]

    def learn(self, batch: Batch, sums: defaultdict[str, float]) -> None:
        """Add one batch's gradients and what it measured."""
        rows = torch.from_numpy(batch.rows)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.settings.bf16):
            logits = self.compiled(torch.from_numpy(batch.prefix), rows, torch.from_numpy(batch.places))
        target, weight = torch.from_numpy(batch.target), torch.from_numpy(batch.weight)
        logp = logits.log_softmax(-1)
        loss = -(target * logp).sum(-1)
        (loss @ weight / NORM).backward()
        self.rows += len(rows)
        self.tokens += batch.prefix.size + rows.numel()
        with torch.no_grad():
            excess = loss - torch.special.entr(target).sum(-1)
            distance = 0.5 * (target - logp.exp()).abs().sum(-1)
        chosen = torch.from_numpy(batch.origin)
        for number in chosen.unique().tolist():
            mask = chosen == number
            sums[f"n{number}"] += int(mask.sum())
            sums[f"kl{number}"] += float(excess[mask].sum())
            sums[f"tv{number}"] += float(distance[mask].sum())

    def run(self, out: Path) -> None:
        """Train up to `steps`, reporting and saving on the way."""
        settings = self.settings
        source = Source(self.tokenizer, settings.seed + 1000 * self.step, settings.asks)
        sums: defaultdict[str, float] = defaultdict(float)
        began = time.process_time()
        while self.step < settings.steps:
            factor = rate_at(self.step, settings.steps, settings.cooldown)
            for optimizer, rate in ((self.muon, settings.rate), (self.adam, settings.adam_rate)):
                optimizer.param_groups[0]["lr"] = rate * factor
                optimizer.zero_grad(set_to_none=True)
            for _ in range(settings.groups):
                self.learn(source.batch(), sums)
            self.muon.step()
            self.adam.step()
            torch._foreach_lerp_(
                self.average, [p.detach() for p in self.model.parameters()], 1 - min(AVERAGE, 1 - 1 / (self.step + 1))
            )
            self.step += 1
            if self.step % REPORT_EVERY == 0 or self.step == 1:
                self.seconds += time.process_time() - began
                began = time.process_time()
                self.report(out, factor, sums, source)
                sums.clear()
            if self.step % SAVE_EVERY == 0 or self.step == settings.steps:
                self.save(out / "checkpoint.pt")

    def report(self, out: Path, factor: float, sums: defaultdict[str, float], source: Source) -> None:
        """Add a line to the record and the log."""
        by_name = {name: sums[f"tv{k}"] / sums[f"n{k}"] for name, k in source.number.items() if sums[f"n{k}"]}
        asked = sum(sums[f"n{k}"] for k in source.number.values())
        divergence = sum(sums[f"kl{k}"] for k in source.number.values()) / max(asked, 1)
        mean = sum(by_name.values()) / max(len(by_name), 1)
        texts = sums["kl-1"] / max(sums["n-1"], 1)
        line = [
            self.step,
            round(self.seconds),
            self.rows,
            self.tokens,
            round(factor, 4),
            *(round(x, 4) for x in (divergence, mean, texts)),
        ]
        self.record.append(line)
        with (out / "loss.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([COLUMNS, *self.record])
        details = " ".join(f"{name.split('.')[0][:8]}.{name.split('.')[1][:4]}={x:.3f}" for name, x in by_name.items())
        values = " ".join(f"{n}={v}" for n, v in zip(COLUMNS, line, strict=True))
        sys.stdout.write(f"{values} | {details}\n")
        sys.stdout.flush()


def parse_settings() -> argparse.Namespace:
    """Return the command line's settings."""
    parser = argparse.ArgumentParser(description="Train the pocket model.")
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoint.pt and loss.csv")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument(
        "--cooldown", type=int, default=3000, help="last steps, over which the learning rate falls to 0"
    )
    parser.add_argument("--groups", type=int, default=6, help="prompt groups per step")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--feed-forward", type=int, default=384)
    parser.add_argument("--rate", type=float, default=0.02, help="learning rate of matrices (Muon)")
    parser.add_argument("--adam-rate", type=float, default=0.005)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--asks", nargs="*", help="train on these decisions only")
    parser.add_argument("--no-compile", dest="compile", action="store_false")
    parser.add_argument("--no-bf16", dest="bf16", action="store_false")
    parser.add_argument("--resume", type=Path, help="checkpoint to continue")
    return parser.parse_args()


def main() -> None:
    """Train from the command line."""
    settings = parse_settings()
    settings.out.mkdir(parents=True, exist_ok=True)
    store_fingerprints()
    trainer = Trainer(settings)
    if settings.resume:
        trainer.load(settings.resume)
    else:
        for space in ("", " "):
            trainer.model.smooth_numbers([trainer.tokenizer.encode(f"{space}{number}")[0] for number in range(101)])
    trainer.run(settings.out)


if __name__ == "__main__":
    main()
