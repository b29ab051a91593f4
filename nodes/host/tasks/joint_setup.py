"""Setup of joint generation: picture and sound from a transcript, with an image as the person and the first frame.

Source: UniAVGen (arXiv:2511.03334), section 3.5, and its inference release.
Dimension key: B batch, H and W pixel rows and columns.
"""

from dataclasses import dataclass

from torch import Tensor

from ....uniavgen_core.shapes import video_frames_in
from ....uniavgen_core.tasks import JOINT
from .task_scene import IMAGE, PreparedTask, Scene


@dataclass(frozen=True)
class JointInputs:
    """The user's inputs for joint generation.

    Attributes:
        seconds: Length of the clip.
        image: The person and the first frame, (B, H, W, 3), or None.
    """

    seconds: float
    image: Tensor | None = None


def prepare_joint(scene: Scene, inputs: JointInputs) -> PreparedTask:
    """Prepare picture and sound to be generated from a transcript."""
    scene, notices = scene.sized_for(inputs.image, IMAGE)
    scene, latent = scene.with_image(inputs.image, scene.empty(video_frames_in(inputs.seconds)))
    return PreparedTask(scene.with_directions(JOINT), latent, notices=tuple(notices))
