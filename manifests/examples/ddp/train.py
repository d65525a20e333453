"""Trains a small transformer with DistributedDataParallel, and goes on from its newest checkpoint, as any script would.

The task: sequences that count by a hidden stride modulo 17. The model has to infer the stride from what it has seen, so
the loss falls from ln 17 = 2.83 to what the first tokens leave open. Data are made from (step, rank): a run that is
interrupted and resumed sees exactly what an undisturbed run sees.
"""

import argparse
import os
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

TOKENS, LENGTH, BATCH, WIDTH = 17, 24, 32, 64


class Counter(nn.Module):
    """A decoder-only transformer of two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Embedding(TOKENS, WIDTH)
        self.place = nn.Embedding(LENGTH, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 2 * WIDTH, dropout=0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Linear(WIDTH, TOKENS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], device=x.device)
        hidden = self.token(x) + self.place(torch.arange(x.shape[1], device=x.device))
        return self.out(self.layers(hidden, mask=mask, is_causal=True))


def batch(step: int, rank: int) -> torch.Tensor:
    """The sequences of one rank at one step."""
    dice = torch.Generator().manual_seed(step * 100_003 + rank)
    first = torch.randint(TOKENS, (BATCH, 1), generator=dice)
    stride = torch.randint(1, TOKENS, (BATCH, 1), generator=dice)
    return (first + stride * torch.arange(LENGTH + 1)) % TOKENS


def save(folder: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, keep: int) -> None:
    """A checkpoint is there whole or not at all: written beside its place, flushed, then renamed into it."""
    unfinished = folder / f".step-{step:08}.tmp"
    with unfinished.open("wb") as file:
        torch.save({"step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(folder / f"step-{step:08}.pt")
    for old in sorted(folder.glob("step-*.pt"))[:-keep]:
        old.unlink()


def newest(folder: Path) -> str:
    """The newest checkpoint that can be read; empty without one."""
    for path in sorted(folder.glob("step-*.pt"), reverse=True):
        try:
            torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            print(f"skipping {path.name}, which cannot be read: {type(error).__name__}", flush=True)
        else:
            return str(path)
    return ""


def resume(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Load what rank 0 finds, on every rank; the number of steps that are done."""
    found = [newest(folder) if dist.get_rank() == 0 else ""]
    dist.broadcast_object_list(found)
    if not found[0]:
        return 0
    state = torch.load(found[0], map_location="cpu", weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--save-every", type=int, default=20)
    parser.add_argument("--keep", type=int, default=3)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds to rest after each step, to be watched")
    args = parser.parse_args()

    gpu = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if gpu else torch.device("cpu")
    dist.init_process_group("nccl" if gpu else "gloo")
    rank = dist.get_rank()
    folder = Path(os.environ["TRAINYARD_CHECKPOINT_DIR"])
    folder.mkdir(parents=True, exist_ok=True)

    torch.manual_seed(0)
    model = Counter().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    done = resume(folder, model, optimizer)
    if rank == 0:
        attempt, restarts = os.environ["TRAINYARD_ATTEMPT"], os.environ["TRAINYARD_RESTARTS"]
        print(f"attempt {attempt} after {restarts} restarts, {dist.get_world_size()} processes", flush=True)
        print(f"resumed from step {done}" if done else "starting from step 0", flush=True)

    parallel = DistributedDataParallel(model)
    for step in range(done + 1, args.steps + 1):
        x = batch(step, rank).to(device)
        logits = parallel(x[:, :-1])
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), x[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        dist.all_reduce(loss.detach())
        if rank == 0:
            print(f"step {step} loss {loss.item() / dist.get_world_size():.4f}", flush=True)
            if step % args.save_every == 0 or step == args.steps:
                save(folder, step, model, optimizer, args.keep)
                print(f"saved step {step}", flush=True)
        time.sleep(args.pause)

    dist.barrier()
    dist.destroy_process_group()
    if rank == 0:
        print("done", flush=True)


if __name__ == "__main__":
    main()
