"""Setup of video dubbing: the sound for a given video.

Source: UniAVGen (arXiv:2511.03334), section 3.5, and its inference release.
"""

from typing import Any

import torch

from ....uniavgen_core.media.restore import Source
from ....uniavgen_core.media.time_spans import EVERYTHING
from ....uniavgen_core.media.video.frames import fit_frame_count, resample_frames
from ....uniavgen_core.shapes import FPS, video_frames_covering
from ....uniavgen_core.tasks import DUBBING
from ..conditioning.pass_settings import REFERENCE_IMAGE_KEY
from ..media.clip_size import MATCH_INPUT
from ..media.footage import decode_video
from ..media.source_media import SourceMedia
from ..sampling.joint_latent import keep_video
from .task_scene import LONGEST_SECONDS, PreparedTask, Scene


def prepare_dubbing(scene: Scene, video: Any) -> PreparedTask:
    """Prepare the sound of a VIDEO to be generated.

    Raises:
        ValueError: If the video cannot be read, or is too long.
    """
    footage, notices = decode_video(video, "the video")
    if footage.seconds > LONGEST_SECONDS:
        raise ValueError(
            f"The video lasts {footage.seconds:.0f} s; at most {LONGEST_SECONDS:.0f} s can be dubbed at once. Use "
            "'UniAVGen Long Video', which dubs it in segments."
        )
    if scene.size.kind == MATCH_INPUT:
        scene = scene.stretching(footage.frames)  # nobody sees it, and a crop might take the mouth
    scene, cropped = scene.sized_for(footage.frames, "the video")
    count = video_frames_covering(footage.seconds)
    frames = fit_frame_count(resample_frames(footage.frames, float(footage.fps), FPS), count)
    clean = scene.encode(frames)
    latent = keep_video(scene.empty(count), clean, torch.zeros(clean.shape[2]))
    scene = scene.with_reference(REFERENCE_IMAGE_KEY, scene.encode(frames[:1]))
    source = Source(footage.frames, footage.fps, video_kept=EVERYTHING, ends_with_source=True)
    media = SourceMedia(source, video=video)
    return PreparedTask(scene.with_directions(DUBBING), latent, media, (*notices, *cropped))
