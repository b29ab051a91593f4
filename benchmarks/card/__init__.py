"""Everything that waits for a CUDA machine, in order of worth, each part in a process with a time limit of its own.

The parts: parity with the release's recorded outputs; speed of a step; a whole clip at the released size from seeded
weights; compiled layers; the clip within the memory of smaller cards; training; the bundled model's samples. Results
are written after every part as ``card_DEVICE.json`` and ``card_DEVICE.md``, in the form of ``benchmarks/results/``. A
part that fails or hangs is named, and the others go on. No part needs the network or a downloaded file.
"""

from .command import add_options, measure, table

__all__ = ["add_options", "measure", "table"]
