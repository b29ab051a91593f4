"""Several clients that queue at once: each gets the picture and the sound of its own seed."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from random import Random

from ..comfy_client import ComfyClient
from ..comfy_server import ComfyServer
from .tally import Tally
from .workflows import digest_of, small

CLIENTS = 8


def queue_at_once(server: ComfyServer, random: Random, tally: Tally) -> None:
    """Have several clients queue the same prompt with seeds of their own, and compare with runs by themselves."""
    while tally or not tally.cases:
        seeds = [random.randrange(2**32) for _ in range(CLIENTS)]
        with ThreadPoolExecutor(CLIENTS) as pool:
            together = list(pool.map(partial(_result, server.base_url), seeds))
        alone = [_result(server.base_url, seed) for seed in seeds]
        for number, seed in enumerate(seeds):
            tally.count(fault_of_results(together, alone, number, seed))


def fault_of_results(together: list[str], alone: list[str], number: int, seed: int) -> str | None:
    """Description of what is wrong with one client's result; None for nothing.

    Args:
        together: Hashes of the results of all clients.
        alone: Hashes of the same prompts, run one after the other.
        number: The client.
        seed: Its seed.
    """
    if together[number] != alone[number]:
        return f"the client with seed {seed} got another result than the same prompt by itself"
    if alone.count(alone[number]) > 1:
        return f"the seed {seed} gave the result of another seed"
    return None


def _result(address: str, seed: int) -> str:
    """Hash of what a client of its own gets for a seed."""
    return digest_of(ComfyClient(address), small("quick_start", seed=seed))
