"""Finding and showing faces in a real ComfyUI: a real photograph, ComfyUI's own detectors, and the bundled model."""

from importlib.resources import files
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.nodes.graphs import GUIDANCE, Graph
from tests.nodes.studio import notices_of
from tools.comfy_client import PromptFailedError
from toon.clips.scene import make_scene
from uniavgen_core.media.faces.face_detection import FaceDetector
from uniavgen_core.media.faces.face_masks import MaskShape, Outline, draw_masks

SHAPE = {
    "face_index": 0,
    "shape": "ellipse",
    "dilation": 0.1,
    "feather": 0.1,
    "smoothing": 5,
    "max_gap": 8,
    "min_frames": 1,
}
TINT = {"color": "green", "opacity": 0.5}
PHOTOS = files("skimage") / "data"


def photo(name):
    with Image.open(str(PHOTOS / name)) as picture:
        return picture.convert("RGB")


class Faces:
    """A graph of one image that saves pictures, and what it saved."""

    def __init__(self, server, folder):
        self.server, self.folder, self.nodes = server, folder, {}

    def add(self, kind, **inputs):
        self.nodes[str(len(self.nodes) + 1)] = {"class_type": kind, "inputs": inputs}
        return [str(len(self.nodes)), 0]

    def load(self, picture, name):
        path = self.folder / f"{name}.png"
        picture.save(path)
        return self.add("LoadImage", image=self.server.offer(path))

    def find(self, image, source="opencv", **inputs):
        nested = {f"source.{name}": inputs.pop(name) for name in list(inputs) if name not in SHAPE}
        if source == "opencv":
            nested = {"source.confidence": 0.7, **nested}
        return self.add("UniAVGenFindFaces", image=image, source=source, **nested, **{**SHAPE, **inputs})

    def save(self, image, name):
        self.add("SaveImage", images=image, filename_prefix=name)

    def save_mask(self, mask, name):
        self.save(self.add("MaskToImage", mask=mask), name)

    def run(self):
        """Pictures of every name, (F, H, W, C) int."""
        saved = {}
        for file in sorted(self.server.run(self.nodes).files(), key=lambda file: file["filename"]):
            path = self.server.download(file, self.folder / file["filename"])
            with Image.open(path) as picture:
                saved.setdefault(file["filename"].rsplit("_", 2)[0], []).append(np.asarray(picture).astype(int))
        return {name: np.stack(pictures) for name, pictures in saved.items()}


@pytest.fixture
def graph(server, tmp_path):
    return Faces(server, tmp_path)


@pytest.fixture(scope="module")
def couple():
    """Two real faces: the astronaut, and beside her the same photograph mirrored at half size."""
    picture = Image.new("RGB", (901, 513), (90, 90, 90))
    picture.paste(photo("astronaut.png"), (0, 0))
    half = photo("astronaut.png").resize((256, 256)).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    picture.paste(half, (600, 100))
    return picture


def test_a_photographed_face_is_tinted_and_nothing_else(graph):
    astronaut = photo("astronaut.png")
    image = graph.load(astronaut, "astronaut")
    mask = graph.find(image)
    graph.save_mask(mask, "mask")
    graph.save(graph.add("UniAVGenMaskOverlay", image=image, mask=mask, **TINT), "overlay")
    saved = graph.run()
    track = FaceDetector().find(np.asarray(astronaut))
    (expected,) = draw_masks([track], 1, (512, 512), MaskShape(Outline.ELLIPSE, 0.1, 0.1))
    assert np.abs(saved["mask"][0, ..., 0] - expected * 255).max() <= 1
    tinted = np.asarray(astronaut) * (1 - expected[..., None] / 2) + expected[..., None] / 2 * [0, 255, 0]
    assert np.abs(saved["overlay"][0] - tinted).max() <= 1
    assert np.array_equal(saved["overlay"][0][expected == 0], np.asarray(astronaut)[expected == 0])


def test_faces_are_chosen_from_left_to_right_in_a_picture_of_odd_size(graph, couple):
    image = graph.load(couple, "couple")
    for face in range(3):
        graph.save_mask(graph.find(image, face_index=face), f"face{face}")
    masks = {name: pictures[0, ..., 0] for name, pictures in graph.run().items()}
    assert masks["face0"].shape == (513, 901)
    assert masks["face1"][125, 225] == masks["face2"][162, 743] == 255
    assert masks["face1"][:, 450:].max() == masks["face2"][:, :450].max() == 0
    assert np.array_equal(masks["face0"], np.maximum(masks["face1"], masks["face2"]))


def test_a_thing_taken_for_a_face_in_one_frame_of_many_is_no_face_by_default(pack):
    face = np.asarray(photo("astronaut.png").crop((130, 0, 330, 240)))
    frames = np.full((11, 320, 560, 3), 90, np.uint8)
    frames[:, 40:280, 340:540] = face
    frames[4, 160:280, 30:130] = np.asarray(Image.fromarray(face).resize((100, 120)))
    images = torch.from_numpy(frames).float() / 255
    node = pack.nodes.find_faces.FindFaces
    widgets = {one.id: one.default for one in node.define_schema().inputs if hasattr(one, "default")}
    assert widgets["min_frames"] == 0
    widgets |= {"source": {"source": "opencv", "confidence": 0.7}, "face_index": 1, "feather": 0.0}
    by_default = node.execute(images, **widgets)
    assert by_default.args[0][:, :, :280].max() == 0
    assert by_default.args[0][:, 160, 440].min() == 1
    assert "1 object detected as a face in fewer than 2 frames" in notices_of(by_default)
    every = node.execute(images, **{**widgets, "min_frames": 1, "face_index": 2})
    assert every.args[0][:, :, :280].max() == 1  # what is seen least comes last
    assert every.args[0][:, :, 280:].max() == 0
    assert node.execute(images[4:5], **widgets).args[0][0, :, :280].max() == 1  # of a single image, everything counts


def test_a_face_whose_shut_eyes_are_taken_for_a_mouth_stays_where_it_was(pack):
    clip = make_scene(10_000_010, "held_out").clip
    node, images = pack.nodes.find_faces.FindFaces, torch.from_numpy(clip.frames) / 255
    widgets = {one.id: one.default for one in node.define_schema().inputs if hasattr(one, "default")}
    widgets |= {"source": {"source": "opencv", "confidence": 0.7}, "shape": "box", "smoothing": 1}
    masks = node.execute(images, **widgets).args[0] > 0.5
    tops = [int(mask.any(1).nonzero()[0]) for mask in masks]
    blink = int(clip.lids.argmax())
    assert max(tops[blink - 3 : blink + 4]) - min(tops[blink - 3 : blink + 4]) <= 4


def test_frames_without_a_face_have_an_empty_mask_and_the_user_is_told(graph, server):
    frames = graph.load(photo("astronaut.png"), "first")
    coffee = graph.load(photo("coffee.png").resize((512, 512)), "coffee")
    batch = graph.add("ImageBatch", image1=frames, image2=coffee)
    graph.save_mask(graph.find(batch), "mask")
    first, second = graph.run()["mask"]
    assert (first.max(), second.max()) == (255, 0)
    assert "There is no face in 1 of 2 frames, the first of them frame 1" in server.log


def test_a_gap_between_two_sightings_is_bridged(graph):
    face = graph.load(photo("astronaut.png"), "face")
    coffee = graph.load(photo("coffee.png").resize((512, 512)), "gap")
    batch = graph.add("ImageBatch", image1=graph.add("ImageBatch", image1=face, image2=coffee), image2=face)
    graph.save_mask(graph.find(batch, smoothing=1), "mask")
    before, gap, after = graph.run()["mask"]
    assert np.array_equal(before, gap)
    assert np.array_equal(before, after)


def refusal(graph, mask):
    graph.save_mask(mask, "mask")
    with pytest.raises(PromptFailedError) as error:
        graph.run()
    return str(error.value)


def test_a_picture_without_a_face_is_refused_with_a_way_out(graph):
    message = refusal(graph, graph.find(graph.load(photo("coffee.png"), "coffee")))
    assert "no face in the images" in message
    assert "choose 'mask'" in message


def test_a_face_that_is_not_there_is_refused_with_their_number(graph, couple):
    assert "face_index is 3, but there are only 2 faces" in refusal(
        graph, graph.find(graph.load(couple, "couple"), face_index=3)
    )


def test_an_alpha_channel_does_not_hide_a_face_and_survives_the_overlay(graph):
    image = graph.load(photo("astronaut.png"), "astronaut")
    alpha = graph.add("SolidMask", value=0.75, width=512, height=512)
    rgba = graph.add("JoinImageWithAlpha", image=image, alpha=alpha)
    mask = graph.find(rgba)
    graph.save_mask(mask, "mask")
    graph.save_mask(graph.find(image), "without")
    graph.save(graph.add("UniAVGenMaskOverlay", image=rgba, mask=mask, **TINT), "overlay")
    saved = graph.run()
    assert np.array_equal(saved["mask"], saved["without"])
    assert np.abs(saved["overlay"][..., 3] - 0.25 * 255).max() <= 1


def test_comfyuis_own_box_is_drawn_on_every_frame(graph):
    frames = graph.add("EmptyImage", width=90, height=60, batch_size=3, color=0)
    box = graph.add("PrimitiveBoundingBox", x=10, y=20, width=30, height=25)
    sharp = {"shape": "box", "dilation": 0.0, "feather": 0.0}
    graph.save_mask(graph.find(frames, "bounding_boxes", bboxes=box, **sharp), "mask")
    expected = np.zeros((60, 90))
    expected[20:45, 10:40] = 255
    saved = graph.run()["mask"][..., 0]
    assert saved.shape == (3, 60, 90)
    assert np.abs(saved - expected).max() <= 1


def test_a_drawn_mask_of_another_size_becomes_a_face(graph):
    frames = graph.add("EmptyImage", width=90, height=60, batch_size=2, color=0)
    empty = graph.add("SolidMask", value=0.0, width=45, height=30)
    spot = graph.add("SolidMask", value=1.0, width=20, height=10)
    drawn = graph.add("MaskComposite", destination=empty, source=spot, x=15, y=12, operation="add")
    graph.save_mask(graph.find(frames, "mask", mask=drawn, shape="box", dilation=0.0, feather=0.0), "mask")
    expected = np.zeros((60, 90))
    expected[24:44, 30:70] = 255
    assert np.abs(graph.run()["mask"][..., 0] - expected).mean() < 8


def test_masks_of_another_number_of_images_are_refused(graph):
    frames = graph.add("EmptyImage", width=64, height=64, batch_size=3, color=0)
    two = graph.add("EmptyImage", width=64, height=64, batch_size=2, color=0xFFFFFF)
    masks = graph.add("ImageToMask", image=two, channel="red")
    assert "2 images, but there are 3" in refusal(graph, graph.find(frames, "mask", mask=masks))


@pytest.fixture
def mediapipe(server):
    """A file for ComfyUI's MediaPipe loader whose network sees round faces wherever it looks; nobody's real weights."""
    from comfy_extras.mediapipe.face_landmarker import FaceLandmarker

    angles = torch.linspace(0, 2 * torch.pi, 479)[:478]
    circle = torch.stack([96 + 15 * angles.cos(), 96 + 15 * angles.sin(), 5 * (3 * angles).sin()], dim=1)
    weights = {}
    for variant in ("short", "full"):
        network = FaceLandmarker(detector_variant=variant).state_dict()
        network = {name: torch.zeros_like(value) for name, value in network.items()}
        for name in ("8", "16"):
            box = torch.tensor([0, 0, 60.0, 60, 12, 0, -12, 0, 0, 0, 0, 0, 0, 0, 0, 0])  # 60 of 128, eyes level
            bias = network.get(f"detector.reg_{name}.bias")
            if bias is not None:
                bias.copy_(box.repeat(len(bias) // 16))
                network[f"detector.cls_{name}.bias"].fill_(3)
        network["mesh.head_landmarks.bias"] = circle.flatten()
        weights |= {name.replace("detector.", f"detector_{variant}."): value for name, value in network.items()}
    parts = ("face_oval", "left_eye", "right_eye", "left_eyebrow", "right_eyebrow", "lips", "irises", "nose")
    weights |= {f"topology.{part}": torch.tensor([[0, 1]], dtype=torch.int32) for part in (*parts, "tesselation")}
    weights |= {"canonical_vertices": circle / 20, "procrustes_indices": torch.arange(0, 478, 9)}
    weights |= {"procrustes_weights": torch.ones(len(range(0, 478, 9)))}
    folder = server.folder / "models" / "detection"
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in weights.items()}, folder / "round.safetensors")
    server.object_info("LoadMediaPipeFaceLandmarker")
    return "round.safetensors"


def test_what_comfyuis_mediapipe_nodes_find_is_shaped_the_same_from_every_socket(graph, mediapipe):
    frames = graph.add("EmptyImage", width=160, height=120, batch_size=2, color=0x808080)
    model = graph.add("LoadMediaPipeFaceLandmarker", model_name=mediapipe)
    landmarks = graph.add(
        "MediaPipeFaceLandmarker", face_detection_model=model, image=frames, detector_variant="short", num_faces=0,
        min_confidence=0.5, missing_frame_fallback="empty",
    )  # fmt: skip
    sources = {
        "model": {"face_detection_model": model, "confidence": 0.5, "reach": "short"},
        "landmarks": {"face_landmarks": landmarks},
        "boxes": {"bboxes": [landmarks[0], 1]},
    }
    names = {"model": "mediapipe", "landmarks": "face_landmarks", "boxes": "bounding_boxes"}
    for name, inputs in sources.items():
        graph.save_mask(graph.find(frames, names[name], dilation=0.0, **inputs), name)
    hull = graph.find(frames, "face_landmarks", face_landmarks=landmarks, shape="hull", dilation=0.0)
    graph.save_mask(hull, "hull")
    saved = graph.run()
    assert 0.05 < (saved["model"] > 128).mean() < 0.95
    assert np.array_equal(saved["model"], saved["landmarks"])
    assert np.array_equal(saved["model"], saved["boxes"])
    assert np.abs(saved["hull"] - saved["model"]).max() <= 8  # the landmarks lie on the ellipse of their box


class Show:
    """The quick start, and what the model's face mask of its clip looks like."""

    def __init__(self, server, folder, **size):
        self.server, self.folder = server, folder
        self.graph = Graph(steps=6, **size)
        self.images = self.graph.get("UniAVGenSaveVideo", "images")
        self.graph.add("SaveImage", images=self.images, filename_prefix="plain")

    def mask(self, name, **inputs):
        links = {part: self.graph.get("UniAVGenSampler", part) for part in ("model", "positive")}
        latent = self.graph.get("UniAVGenDecode", "latent")
        mask = self.graph.add("UniAVGenShowFaceMask", **{"latent": latent, "sigma": 0.3, "layer": 0, **links, **inputs})
        self.graph.add("SaveImage", images=self.graph.add("MaskToImage", mask=mask), filename_prefix=name)
        return mask

    def run(self):
        """Pictures of every name, (F, H, W, 3) int."""
        saved = {}
        for file in sorted(self.server.run(self.graph.nodes).files(), key=lambda file: file["filename"]):
            if file["filename"].endswith(".png"):
                path = self.server.download(file, self.folder / file["filename"])
                name = file["filename"].rsplit("_", 2)[0]
                saved.setdefault(name, []).append(np.asarray(Image.open(path)).astype(int))
        return {name: np.stack(pictures) for name, pictures in saved.items()}


def test_the_bundled_model_sees_the_face_where_it_is(server, tmp_path):
    show = Show(server, tmp_path, width=128, height=128)
    overlay = show.graph.add("UniAVGenMaskOverlay", image=show.images, mask=show.mask("mask"), **TINT)
    show.graph.add("SaveImage", images=overlay, filename_prefix="overlay")
    saved = show.run()
    masks = saved["mask"][..., 0]
    assert masks.shape == (17, 128, 128)
    assert masks[:, 40:90, 44:84].mean() > 200
    assert masks[:, :24, :24].max() < 20
    for first in (1, 5, 9, 13):
        assert (masks[first : first + 4] == masks[first]).all()
    assert (masks[0] != masks[1]).any()
    weights = masks[..., None] / 255 / 2
    assert np.abs(saved["overlay"] - (saved["plain"] * (1 - weights) + weights * [0, 255, 0])).max() < 2


def test_in_a_wide_picture_the_shown_mask_covers_the_face_and_not_the_borders(server, tmp_path):
    show = Show(server, tmp_path, width=256, height=128)
    with Image.open(str(files("uniavgen_core") / "assets" / "portraits" / "toon_5_calm.png")) as toon:
        wide = Image.new("RGB", (256, 128), toon.getpixel((0, 0)))
        wide.paste(toon, (128, 0))
    wide.save(tmp_path / "wide.png")
    image = show.graph.add("LoadImage", image=server.offer(tmp_path / "wide.png"))
    show.graph.set("UniAVGenReferenceImage", image=image)
    show.mask("mask")
    first = show.run()["mask"][0, ..., 0]
    assert first.shape == (128, 256)
    assert first[40:90, 172:212].mean() > 150
    assert max(first[:10].mean(), first[-16:].mean(), first[:, :16].mean(), first[:, 244:].mean()) < 40


def test_layers_and_noise_levels_differ_and_guidance_does_not(server, tmp_path):
    show = Show(server, tmp_path)
    for layer in range(4):
        show.mask(f"layer{layer}", layer=layer)
    show.mask("noisier", sigma=0.9)
    model = show.graph.get("UniAVGenSampler", "model")
    guided = show.graph.add("UniAVGenGuidance", model=model, preset="custom", **GUIDANCE)
    show.mask("guided", model=guided)
    saved = show.run()
    modules = [saved[f"layer{layer}"] for layer in (1, 2, 3)]
    assert np.abs(saved["layer0"] - np.mean(modules, axis=0)).max() <= 1
    assert all(np.abs(one - other).max() > 2 for one, other in pairwise(modules))
    assert np.abs(saved["noisier"] - saved["layer0"]).max() > 2
    assert np.array_equal(saved["guided"], saved["layer0"])


def test_a_layer_the_model_does_not_have_is_refused_with_their_number(server, tmp_path):
    show = Show(server, tmp_path)
    show.mask("mask", layer=4)
    with pytest.raises(PromptFailedError, match="layer is 4, but the model has 3"):
        show.run()


def test_masks_of_latent_frames_are_shown_as_long_as_they_last(pack):
    host = pack.nodes.host.conditioning.face_inputs
    three = torch.arange(3.0).reshape(3, 1, 1)
    assert host.masks_for_frames(three, 9).flatten().tolist() == [0, 1, 1, 1, 1, 2, 2, 2, 2]
    assert host.masks_for_frames(three, 7).flatten().tolist() == [0, 1, 1, 1, 1, 2, 2]
    assert host.masks_for_frames(three, 3).flatten().tolist() == [0, 1, 2]
    assert host.masks_for_frames(three[1:2], 2).flatten().tolist() == [1, 1]
    with pytest.raises(ValueError, match=r"3 masks for 12 images.*\(4\)"):
        host.masks_for_frames(three, 12)


def test_boxes_come_in_every_form_that_comfyuis_nodes_give(pack):
    host = pack.nodes.host.conditioning.face_inputs
    one, two = ({"x": x, "y": 2, "width": 4, "height": 6, "label": "face"} for x in (1, 20))
    nothing = {"x": 0, "y": 0, "width": 0, "height": 5}

    def lefts(boxes, frames):
        return [[face.box[0] for face in faces] for faces in host.faces_of_boxes(boxes, frames)]

    assert lefts(one, 2) == [[1], [1]]
    assert lefts([one, two], 2) == [[1, 20], [1, 20]]
    assert lefts([[one], [], [two, nothing]], 3) == [[1], [], [20]]
    assert lefts([], 2) == [[], []]
    with pytest.raises(ValueError, match="3 images, but there are 2"):
        lefts([[one]] * 3, 2)


def test_landmarks_of_images_of_another_size_are_scaled_to_these(pack):
    points = np.array([[10, 10], [30, 10], [20, 40]], np.float32)
    found = {"bbox_xyxy": np.array([10, 10, 30, 40]), "landmarks_xy": points, "score": 0.5}
    ((face,),) = pack.nodes.host.conditioning.face_inputs.faces_of_landmarks(
        {"frames": [[found]], "image_size": (50, 100)}, 1, (100, 300)
    )
    assert face.box.tolist() == [30, 20, 90, 80]
    assert np.array_equal(face.landmarks, points * [3, 2])
