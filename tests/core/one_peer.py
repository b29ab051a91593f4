"""What one of two training processes does in a test: ``python -m tests.core.one_peer RANK FOLDER``."""

import sys
from pathlib import Path

import torch

from uniavgen_core.training.peers import Peers


def main(rank, folder):
    peers = Peers(rank, 2, folder / "meeting")
    layer = torch.nn.Linear(2, 1)
    unused = torch.nn.Linear(1, 1)
    layer(torch.full((1, 2), 1.0 + rank)).sum().backward()
    peers.average_gradients(torch.nn.ModuleList([layer, unused]))
    torch.save([layer.weight.grad, layer.bias.grad, peers.agree(10.0 * rank)], folder / f"{rank}.pt")
    peers.part()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
