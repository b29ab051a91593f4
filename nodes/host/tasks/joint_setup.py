"""Setup of joint generation: picture and sound from a transcript, with an image as the person and the first frame.

Source: UniAVGen (arXiv:2511.03334), section 3.5, and its inference release.
Dimension key: B batch, H and W pixel rows and columns.
"""

from torch import Tensor

from ....uniavgen_core.shapes import video_frames_in
from ....uniavgen_core.tasks import JOINT
from .task_scene import IMAGE, PreparedTask, Scene


def prepare_joint(scene: Scene, seconds: float, image: Tensor | None = None) -> PreparedTask:
    """Prepare picture and sound to be generated from a transcript; an image is (B, H, W, 3)."""
    scene, notices = scene.sized_for(image, IMAGE)
    scene, latent = scene.with_image(image, scene.empty(video_frames_in(seconds)))
    return PreparedTask(scene.with_directions(JOINT), latent, notices=tuple(notices))
