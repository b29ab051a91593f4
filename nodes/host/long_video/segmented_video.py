"""Long videos, made segment by segment: every segment goes on from the last moments of the one before."""

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from ....uniavgen_core.media.segment_joins import with_kept_look
from ..content_keys import key_of
from ..tasks.task_scene import PreparedTask, Scene
from .film import Film
from .plans import Plan
from .segment_store import FinishedSegments, Segment, SegmentStore
from .stored_runs import hold

UNFINISHED = "finished_so_far.mp4"
RAMP_SECONDS = 0.05
"""Length of the kept sound's end that a segment may change."""
OWN_LEVEL = 1.0
"""Gain of what the next segment goes on from: segments are at their mel's level, which is the model's."""


@dataclass(frozen=True)
class Voice:
    """A reference voice: an AUDIO of someone speaking, and what is said."""

    audio: dict
    text: str


@dataclass(frozen=True)
class LongVideo(ABC):
    """One long video.

    Attributes:
        scene: What all segments start from.
        plan: Texts and lengths of the segments.
        image: The person, (B, H, W, 3), or None.
        voice: The reference voice; None for that of the first segment that speaks.
    """

    scene: Scene
    plan: Plan
    image: Tensor | None
    voice: Voice | None

    def make(self, make_segment: Callable[[PreparedTask, int], Segment], store: SegmentStore) -> tuple[Film, list[str]]:
        """Make all segments that are not finished yet; at most two are in memory at a time.

        Args:
            make_segment: Samples and decodes a segment; its number counts from 0.
            store: Keeps finished segments.

        Returns:
            The video, and notices.

        Raises:
            BaseException: From ``make_segment``, an interrupt too; what is finished is kept, and a thread joins it to a
                video beside the segments.
        """
        done, sampled, about_voice = FinishedSegments(store), 0, []
        hold(done)
        before, voice, key = None, self.voice, store.first_key
        try:
            for number, label in enumerate(self.plan.labels):
                key = key_of(key, number, label)
                segment = store.load(number, key)
                if segment is None:
                    segment = self._made(make_segment, number, voice, before)
                    store.save(number, key, segment)
                    sampled += 1
                if voice is None:
                    voice, about_voice = self._voice_of(segment, number)
                done.add(key)
                before = segment
        except BaseException:
            if done:
                _write_finished(self.film(done), len(self.plan.texts), store)
            raise
        return self.film(done), [*about_voice, *_about_stored(store, len(done) - sampled, len(done))]

    @abstractmethod
    def film(self, segments: FinishedSegments) -> Film:
        """Video of the first segments, or of all."""

    @abstractmethod
    def _prepare(self, number: int, voice: Voice | None, before: Segment | None) -> PreparedTask:
        """Prepare one segment, the first by itself, every other from the one before."""

    @abstractmethod
    def _finish(self, segment: Segment, prepared: PreparedTask, number: int) -> Segment:
        """A sampled segment as it is stored."""

    def _made(
        self,
        make_segment: Callable[[PreparedTask, int], Segment],
        number: int,
        voice: Voice | None,
        before: Segment | None,
    ) -> Segment:
        """A new segment, in the colours of the one before, and as sharp where it stands still."""
        silent = self._silent(number)
        if silent is not None:
            return silent
        prepared = self._prepare(number, voice, before)
        segment = self._finish(make_segment(prepared, number), prepared, number)
        if before is None or not before.frames.numel():
            return segment
        return replace(segment, frames=with_kept_look(segment.frames, before.frames[-self.plan.kept_frames :]))

    def _silent(self, number: int) -> Segment | None:
        """A segment that needs no sampling, because nothing is said in it; None for one that does."""
        del number
        return None

    def _voice_of(self, segment: Segment, number: int) -> tuple[Voice | None, list[str]]:
        """Voice of a segment for the following ones, and notices; None for none."""
        del segment, number
        return None, []


def _about_stored(store: SegmentStore, reused: int, count: int) -> list[str]:
    """Notices about segments that an earlier run has left."""
    notices = [
        f"{path.name} in {path.parent} is damaged and was set aside; its segment was generated again."
        for path in store.damaged
    ]
    if reused:
        notices.append(
            f"{reused} of {count} segments were finished by an earlier run and are reused. To generate all of them "
            "again, switch on 'start_over'."
        )
    return notices


def _write_finished(film: Film, planned: int, store: SegmentStore) -> None:
    """Write what is finished of a stopped video, without keeping the user waiting."""

    def write() -> None:
        path = store.folder / UNFINISHED
        try:
            film.write(path)
        except Exception:  # in a thread that nobody waits for: it is logged here or never
            logging.exception("UniAVGen: the finished segments could not be joined; each is kept in %s", store.folder)
        else:
            logging.info("UniAVGen: %d of %d segments are kept: %s", len(film.segments), planned, path)

    threading.Thread(target=write, name="UniAVGen finished segments").start()
