"""Processes on one machine that train together, as ``accelerate launch`` would start them.

On a CPU this beats threads: two processes meet once a step, two threads meet in every operation.
"""

import os
import socket
import sys
from collections.abc import Callable
from typing import TypeVar

import torch
from torch.multiprocessing.spawn import ProcessExitedException, spawn

INTERRUPTED = 130
Task = TypeVar("Task")


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """Training was asked to end; the same command goes on from the last checkpoint."""


def launch(work: Callable[[Task], bool], task: Task, processes: int, threads: int) -> None:
    """Run a function in processes of its own.

    Args:
        work: A module's function that trains, and returns whether it reached the end.
        task: Its argument.
        processes: Number of processes; each finds the others through the variables that Accelerate reads.
        threads: CPU threads of all of them together.

    Raises:
        Stopped: If training was interrupted.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    share = max(1, threads // processes)
    try:
        spawn(_process, (work, task, place if processes > 1 else {}, share), nprocs=processes)
    except ProcessExitedException as error:
        if error.exit_code == INTERRUPTED:
            raise Stopped from error
        raise


def _process(rank: int, work: Callable[[Task], bool], task: Task, place: dict[str, int | str], threads: int) -> None:
    """Run the work in one of the processes."""
    if place:
        place = {**place, "RANK": rank, "LOCAL_RANK": rank}
    os.environ.update({name: str(value) for name, value in place.items()} | {"OMP_NUM_THREADS": str(threads)})
    torch.set_num_threads(threads)
    if not work(task):
        sys.exit(INTERRUPTED)
