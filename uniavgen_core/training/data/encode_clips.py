"""Encodes the clips of a source once: by several processes, going on where an earlier run stopped.

Dimension key: F video frames, T latent frames, H and W latent rows and columns.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from multiprocessing import active_children, get_context
from pathlib import Path

import torch
from torch import Tensor

from ...media.audio.mel import normalized_mel
from ...media.video.frames import codec_pixels
from ...media.video.latent_masks import latent_shares
from ..interrupts import Interrupt, catch_interrupts
from .clip_encoders import BUNDLED, Encoders, open_encoders
from .clip_form import ClipForm, Faces
from .clip_record import BadClipError, ClipRecord, ClipSource, DecodedClip, Job, Offer, Skipped
from .clip_store import (
    SOUND_ALONE,
    EncodedClip,
    claim_folder,
    find_clip,
    read_index,
    stored,
    write_clip,
    write_lines,
    write_null_caption,
)
from .encoding_report import Done, Outcome, Report

_WAITING_A_WORKER = 4
_PATIENCE_SECONDS = 1.0


@dataclass(frozen=True)
class EncodeConfig:
    """Settings of encoding.

    Attributes:
        out: Folder of the encoded clips.
        form: Size and length.
        encoders: ``bundled``, or a folder with Wan2.2's.
        device: Where Wan2.2's run.
        dtype: Precision of latents and captions, ``float16`` or ``bfloat16``; the mel is kept in float16, because eight
            bits of mantissa are heard in it.
        faces: What is done about faces; toons bring their masks.
        workers: Processes; each holds its own encoders.
        part: Which part of the source, and of how many, counted from 1: one part for each machine.
    """

    out: Path
    form: ClipForm = field(default_factory=ClipForm)
    encoders: str = BUNDLED
    device: str = "cpu"
    dtype: str = "float16"
    faces: Faces = Faces.FIND
    workers: int = 1
    part: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        if self.dtype not in ("float16", "bfloat16"):
            raise ValueError(f"dtype is {self.dtype}; it must be float16 or bfloat16.")
        if self.workers < 1:
            raise ValueError(f"workers is {self.workers}; there must be at least one.")
        if not 1 <= self.part[0] <= self.part[1]:
            raise ValueError(f"part is {self.part[0]}/{self.part[1]}; parts are counted from 1/n to n/n.")

    @property
    def suffix(self) -> str:
        """Suffix of the names of a part's index and list of skipped clips, before their ending."""
        return "" if self.part[1] == 1 else f".{self.part[0]}-of-{self.part[1]}"


def encode_source(source: ClipSource, config: EncodeConfig, on_clip: Callable[[], object] = lambda: None) -> Report:
    """Encode a source's clips and write the folder's index.

    Ctrl-C ends it after the clips that are being encoded: the index is written, and the report is not ``finished``.

    Args:
        source: The clips.
        config: How they are encoded.
        on_clip: Called after each clip.

    Returns:
        What became of them.

    Raises:
        ImportError: If a package that is needed is not installed.
        RuntimeError: If a process died, such as for want of memory; whole files are kept.
        ValueError: If the encoders cannot be loaded, or the folder was encoded otherwise.
    """
    _claim(source, config)
    started, part = time.perf_counter(), source.part(config.part[0] - 1, config.part[1])
    report = Report(skipped=list(part.skipped))
    try:
        with catch_interrupts() as interrupt:
            for outcome in _outcomes(part.jobs, config, interrupt):
                report.add(outcome)
                on_clip()
        report.finished = not interrupt.asked
    finally:
        report.seconds = time.perf_counter() - started
        _write_lists(report, config)
    return report


def _claim(source: ClipSource, config: EncodeConfig) -> None:
    """Check that all is there that is needed, and note in the folder how it is encoded."""
    form = asdict(config.form)
    if config.form.sound_only:
        claim_folder(config.out, {"source": source.place, "encoders": SOUND_ALONE, **form})
        return
    encoders = open_encoders(config.encoders, config.device)
    if config.faces is not Faces.NONE and source.place != "toon":
        from .face_shares import open_detector  # It brings scipy, which takes a second in every process.

        open_detector()
    settings = {"encoders": encoders.name, "dtype": config.dtype, "faces": config.faces.value, **form}
    claim_folder(config.out, {"source": source.place, **settings})
    write_null_caption(config.out, stored(encoders.caption(""), getattr(torch, config.dtype), "empty caption"))
    if config.workers > 1:  # The other processes load their own.
        del encoders
        open_encoders.cache_clear()


def _write_lists(report: Report, config: EncodeConfig) -> None:
    """Write the index and the list of what was skipped; the lists of a whole source replace those of its parts."""
    if config.part[1] == 1 and report.finished:
        for name in ("index", "skipped"):
            for old in config.out.glob(f"{name}.*-of-*.jsonl"):
                old.unlink()
    clips = {clip.name: clip for clip in [*_left_over(report, config), *report.clips]}
    write_lines(config.out / f"index{config.suffix}.jsonl", [clips[name] for name in sorted(clips)])
    write_lines(config.out / f"skipped{config.suffix}.jsonl", report.skipped)


def _left_over(report: Report, config: EncodeConfig) -> list[EncodedClip]:
    """Of a run that did not come to its end, the clips of the earlier index that it may not have come to."""
    if report.finished or not (config.out / f"index{config.suffix}.jsonl").is_file():
        return []
    return [clip for clip in read_index(config.out) if find_clip(config.out, clip.record) is not None]


def _outcomes(jobs: tuple[Job, ...], config: EncodeConfig, interrupt: Interrupt) -> Iterator[Outcome]:
    """Yield the outcome of each clip, in the order in which they are finished; ends early after an interrupt."""
    if config.workers == 1:
        for offer in (offer for job in jobs for offer in job.clips()):
            yield encode_offer(offer, config)
            if interrupt.asked:
                return
        return
    context, threads = get_context("spawn"), max(1, (os.cpu_count() or 1) // config.workers)
    with ProcessPoolExecutor(config.workers, context, _start_worker, (threads,)) as pool:
        try:
            yield from gather_outcomes(pool, jobs, config, interrupt)
        except BrokenProcessPool as error:
            raise RuntimeError(
                "A process died while it encoded, perhaps for want of memory. Run the same command again, with fewer "
                "workers: whole files are kept."
            ) from error


def gather_outcomes(
    pool: ProcessPoolExecutor, jobs: tuple[Job, ...], config: EncodeConfig, interrupt: Interrupt
) -> Iterator[Outcome]:
    """Hand out jobs, a few ahead, and yield what comes back; when asked to end, only clips in work are waited for."""
    waiting: set[Future] = set()
    left = iter(jobs)
    while True:
        while not interrupt.asked and len(waiting) < _WAITING_A_WORKER * config.workers:
            job = next(left, None)
            if job is None:
                break
            waiting.add(pool.submit(encode_job, job, config))
        if interrupt.asked:
            _pass_on()
            waiting = {future for future in waiting if not future.cancel()}
        if not waiting:
            return
        done, waiting = wait(waiting, _PATIENCE_SECONDS, FIRST_COMPLETED)
        for future in done:
            yield from future.result()


def _pass_on() -> None:
    """Tell the other processes to end after their clip: a signal to the first one alone does not reach them."""
    for process in active_children() if os.name != "nt" else ():
        if process.pid is not None:
            os.kill(process.pid, signal.SIGINT)


def _start_worker(threads: int) -> None:
    """Let no Ctrl-C end a process that is between two jobs, and share the processor's threads."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)


def encode_job(job: Job, config: EncodeConfig) -> list[Outcome]:
    """Work through a job in a process of its own, or as far as it is let."""
    outcomes = []
    with catch_interrupts() as interrupt:
        for offer in job.clips():
            outcomes.append(encode_offer(offer, config))
            if interrupt.asked:
                break
    return outcomes


def encode_offer(offer: Offer | Skipped, config: EncodeConfig) -> Outcome:
    """Encode one clip, unless it is there or cannot be used."""
    if isinstance(offer, Skipped):
        return offer
    found = find_clip(config.out, offer.record)
    if found is not None:
        return Done(found, kept=True)
    try:
        clip = offer.decode(config.form)
        encoders = None if clip.frames is None else open_encoders(config.encoders, config.device)
        tensors = encode_clip(clip, offer.record, encoders, config)
    except BadClipError as error:
        return Skipped(offer.where, error.reason, f"{offer.record.path}: {error}")
    except FloatingPointError as error:
        return Skipped(offer.where, "not finite", f"{offer.record.path}: {error}")
    return Done(write_clip(config.out, offer.record, tensors, clip.cut), kept=False)


def encode_clip(
    clip: DecodedClip, record: ClipRecord, encoders: Encoders | None, config: EncodeConfig
) -> dict[str, Tensor]:
    """Tensors of one clip, in the precision they are kept in; ``write_clip`` says which. Sound alone needs no encoders.

    Raises:
        BadClipError: If a face is required and there is none.
        FloatingPointError: If something is not finite.
    """
    dtype = getattr(torch, config.dtype)
    tensors = {"mel": stored(normalized_mel(clip.waveform), torch.float16, "mel")}
    if clip.frames is None or encoders is None:
        return tensors
    face = clip.face
    if face is None and config.faces is not Faces.NONE:
        from .face_shares import face_boxes

        face = face_boxes(clip.frames, config.faces is Faces.REQUIRE)
    tensors["video"] = stored(encoders.video(codec_pixels(clip.frames)), dtype, "latents")
    tensors["caption"] = stored(encoders.caption(record.caption), dtype, "caption's features")
    masks = {"face": face, "mouth": clip.mouth}
    return tensors | {name: torch.from_numpy(latent_shares(mask)) for name, mask in masks.items() if mask is not None}
