"""Run the paper's ablations at toon scale and write their tables: ``python dev.py ablate``.

Every run writes one JSON file to the work folder. Interrupted runs continue, and finished ones are never repeated.
``--report`` makes tables and plots from these files alone.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict
from datetime import datetime
from multiprocessing import get_context
from pathlib import Path

from uniavgen_core.evaluation.__main__ import tell

from .cells import BASE, CELLS, Place, Study
from .study_clips import make_material
from .study_report import write_report
from .study_runs import GUIDANCE, JUDGES, PRETRAIN, TRUTH, Job, run

WORK, RESULTS = Path("output/ablations"), Path("docs/ablations")
QUICK = Study(
    clips=24, held_out=8, batch=2, pretrain_steps=2, steps=2, sample_steps=2, judges=0.005, dim=32, num_layers=2
)
"""A smoke test of the whole study; its results mean nothing."""


def parse(arguments: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    names = [cell.name for cell in CELLS]
    parser = argparse.ArgumentParser(prog="ablate", description=__doc__)
    parser.add_argument(
        "--work", type=Path, default=WORK, help="folder for clips, checkpoints and results, from which runs continue"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for results, tables and plots")
    parser.add_argument("--cells", nargs="+", choices=[*names, GUIDANCE], default=[*names, GUIDANCE], metavar="CELL",
                        help=f"cells to run: {', '.join(names)}, {GUIDANCE}")  # fmt: skip
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds of each cell; at least three")
    parser.add_argument("--workers", type=int, default=2, help="parallel runs, on one thread each")
    parser.add_argument("--quick", action="store_true", help="smoke test with a few steps; the numbers mean nothing")
    parser.add_argument("--report", action="store_true", help="only make tables from existing results")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser.parse_args(arguments)


def jobs_of(cells: Sequence[str], seeds: Sequence[int]) -> list[Job]:
    """All jobs in topological order."""
    wanted = [Job(name, seed) for name in cells for seed in seeds]
    if GUIDANCE in cells and BASE.name not in cells:
        wanted = [Job(BASE.name, seed) for seed in seeds] + wanted
    before = [Job(JUDGES, 0), *(Job(PRETRAIN, seed) for seed in seeds)]
    return [*before, Job(TRUTH, 0), *wanted]


def run_all(jobs: Sequence[Job], study: Study, work: Path, workers: int, tell: Callable[[Job, str], None]) -> list[Job]:
    """Run the unfinished jobs, by falling priority, in parallel processes, each when its dependencies are done.

    ``tell`` is called with a job and its new state. Returns the jobs that failed, and those that depend on them.
    """
    place = Place(work)
    waiting = [job for job in jobs if not job.output(place).exists()]
    failed: list[Job] = []
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        running: dict[Future, Job] = {}
        while True:
            ready = [job for job in waiting if all(need.output(place).exists() for need in job.needs)]
            for job in ready[: workers - len(running)]:
                tell(job, "begins")
                waiting.remove(job)
                running[pool.submit(run, job, study, work)] = job
            if not running:
                return failed + waiting
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job, error = running.pop(future), future.exception()
                tell(job, "is done" if error is None else f"failed: {error!r}")
                failed += [job] if error else []


def hold_to(study: Study, work: Path) -> None:
    """Store the study's sizes in the work folder, or check them against the stored ones.

    Raises:
        ValueError: If the folder belongs to a study of other sizes.
    """
    work.mkdir(parents=True, exist_ok=True)
    path, sizes = work / "study.json", asdict(study)
    if not path.exists():
        path.write_text(json.dumps(sizes, indent=1) + "\n", encoding="utf-8")
    if json.loads(path.read_text(encoding="utf-8")) != sizes:
        raise ValueError(f"{work} holds a study of other sizes (see study.json there). Give another --work.")


def take_over(study: Study, results: Path, work: Path) -> None:
    """Copy existing results of the same sizes into the work folder."""
    sizes = results / "study.json"
    if sizes.exists() and json.loads(sizes.read_text(encoding="utf-8")) == asdict(study):
        (work / "runs").mkdir(parents=True, exist_ok=True)
        for path in (results / "runs").glob("*.json"):
            if not (work / "runs" / path.name).exists():
                shutil.copy(path, work / "runs")


def collect(work: Path, results: Path) -> None:
    """Copy finished runs and the study's sizes from the work folder to the results."""
    (results / "runs").mkdir(parents=True, exist_ok=True)
    for path in [*sorted((work / "runs").glob("*.json")), *work.glob("study.json")]:
        shutil.copy(path, results / path.relative_to(work))


def main(arguments: list[str]) -> int:
    """Run the study, or only its report, and return the exit status."""
    options = parse(arguments)
    undone: list[Job] = []
    try:
        if not options.report:
            undone = study_of(options)
        collect(options.work, options.results)
        tables = write_report(options.results)
    except ValueError as error:
        tell(f"Error: {error}")
        return 1
    done = {"report": str(options.results / "REPORT.md"), "undone": [vars(job) for job in undone], "tables": tables}
    print(json.dumps(done) if options.json else f"Done: {done['report']}")  # noqa: T201
    return 1 if undone else 0


def study_of(options: argparse.Namespace) -> list[Job]:
    """Run the study with the options of the command line, and return the jobs that are not done."""
    study = QUICK if options.quick else Study()
    hold_to(study, options.work)
    take_over(study, options.results, options.work)
    make_material(study, options.work, options.workers)
    jobs = jobs_of(options.cells, options.seeds)
    tell(f"{sum(not job.output(Place(options.work)).exists() for job in jobs)} of {len(jobs)} runs to do")

    def keep(job: Job, state: str) -> None:
        tell(f"{datetime.now():%H:%M} {job.name}, seed {job.seed} {state}")
        collect(options.work, options.results)

    return run_all(jobs, study, options.work, options.workers, keep)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
