"""The picture of every node for its help page: a short graph each, and the neighbours that are shown."""

from collections.abc import Callable

from uniavgen_core.tasks import AUDIO_DRIVEN

from .help_graphs import CAPTION, Node, Picture, ToonGraph


def load_model(toon: ToonGraph) -> Picture:
    """The model goes into the sampler."""
    return Picture((), toon.model, (toon.sampled,))


def load_text_encoder(toon: ToonGraph) -> Picture:
    """The text encoder goes into both captions."""
    return Picture((), toon.clip, (toon.caption, toon.negative))


def load_video_vae(toon: ToonGraph) -> Picture:
    """The video VAE goes into the task."""
    return Picture((), toon.video_vae, (toon.task,))


def load_audio_vae(toon: ToonGraph) -> Picture:
    """The audio VAE goes into the decoder."""
    return Picture((), toon.audio_vae, (toon.decoded,))


def toon_portrait(toon: ToonGraph) -> Picture:
    """The portrait is the person of a task."""
    return Picture((), toon.image, (toon.task,))


def toon_clip(toon: ToonGraph) -> Picture:
    """The audio of the clip drives the lips."""
    driven = toon.add_task(
        AUDIO_DRIVEN.name, image=toon.image(), audio=toon.toon(1), length="match_audio", audio_transcript=toon.toon(2)
    )
    return Picture((), toon.toon, (driven,))


def speech_text(toon: ToonGraph) -> Picture:
    """The transcript joins the caption."""
    return Picture((toon.caption,), toon.speech, (toon.task,))


def emotion(toon: ToonGraph) -> Picture:
    """The caption with an emotion goes into the text encoder."""
    written = toon.add("UniAVGenEmotion", caption=CAPTION, emotion="happy")
    return Picture((), written, (toon.add("CLIPTextEncode", text=written(), clip=toon.clip()),))


def reference_image(toon: ToonGraph) -> Picture:
    """An image becomes the first frame of an empty clip."""
    return Picture((toon.image, toon.empty), toon.reference, (toon.add_sampler(toon.reference),))


def reference_voice(toon: ToonGraph) -> Picture:
    """A clip speaks in the voice of another."""
    before = toon.reference
    voice = toon.add(
        "UniAVGenReferenceVoice", positive=before(0), negative=before(1), voice=toon.toon(1),
        voice_transcript="hello nice fish",
    )  # fmt: skip
    sampler = toon.add_sampler(before, positive=voice(0), negative=voice(1))
    return Picture((before, toon.toon), voice, (sampler,))


def empty_latent(toon: ToonGraph) -> Picture:
    """An image becomes the first frame of the empty clip."""
    return Picture((), toon.empty, (toon.reference,))


def task(toon: ToonGraph) -> Picture:
    """Image, texts and VAE go in; the prepared clip goes into the sampler."""
    return Picture((toon.speech, toon.video_vae, toon.image), toon.task, (toon.sampled,))


def keep(toon: ToonGraph) -> Picture:
    """The end of a video's audio is generated again."""
    kept = toon.add(
        "UniAVGenKeep", **toon.texts(toon.speech), latent=toon.empty(), video_vae=toon.video_vae(), video=toon.toon(),
        audio_spans="0-1",
    )  # fmt: skip
    return Picture((toon.empty, toon.toon), kept, (toon.add_sampler(kept),))


def steer_face(toon: ToonGraph) -> Picture:
    """The leftmost face speaks."""
    faces = toon.add("UniAVGenFindFaces", image=toon.image(), source="opencv", face_index=1)
    steered = toon.add("UniAVGenSteerFace", **toon.prepared(toon.task), mask=faces())
    sampler = toon.add_sampler(toon.task, positive=steered(0), negative=steered(1))
    return Picture((toon.task, faces), steered, (sampler,))


def speaker(toon: ToonGraph) -> Picture:
    """A speaker in the voice of a recording."""
    first, _, both = two_speakers(toon)
    return Picture((toon.toon,), first, (both,))


def speakers(toon: ToonGraph) -> Picture:
    """Two speakers in one clip."""
    first, second, both = two_speakers(toon)
    return Picture((first, second), both, (toon.add_sampler(both),))


def two_speakers(toon: ToonGraph) -> tuple[Node, Node, Node]:
    """Both speakers, and the node that puts them into one clip."""
    first = toon.add(
        "UniAVGenSpeaker", transcript="red bird", start=0.0, stop=1.0, voice=toon.toon(1),
        voice_transcript="hello nice fish",
    )  # fmt: skip
    second = toon.add("UniAVGenSpeaker", transcript="yes moon", start=1.0, stop=0.0)
    both = toon.add(
        "UniAVGenSpeakers", **toon.prepared(toon.task), speakers__speaker0=first(), speakers__speaker1=second()
    )
    return first, second, both


def sampler(toon: ToonGraph) -> Picture:
    """The prepared clip is sampled with the model, and decoded."""
    return Picture((toon.model, toon.task), toon.sampled, (toon.decoded,), runs=toon.saved)


def custom_sampler(toon: ToonGraph) -> tuple[Node, Node, Node]:
    """Guider, sigmas and the sampler of ComfyUI that takes them."""
    guider = toon.add("UniAVGenGuider", model=toon.model(), positive=toon.task(0), negative=toon.task(1))
    sigmas = toon.add("UniAVGenSigmas", model=toon.model())
    sampled = toon.add(
        "SamplerCustomAdvanced", guider=guider(), sigmas=sigmas(), latent_image=toon.task(2),
        noise=toon.add("RandomNoise", noise_seed=1)(), sampler=toon.add("KSamplerSelect", sampler_name="euler")(),
    )  # fmt: skip
    return guider, sigmas, sampled


def guider(toon: ToonGraph) -> Picture:
    """The guider goes into ComfyUI's custom sampler."""
    guider, _, sampled = custom_sampler(toon)
    return Picture((toon.model, toon.task), guider, (sampled,))


def sigmas(toon: ToonGraph) -> Picture:
    """The noise levels go into ComfyUI's custom sampler."""
    _, sigmas, sampled = custom_sampler(toon)
    return Picture((toon.model,), sigmas, (sampled,))


def guidance(toon: ToonGraph) -> Picture:
    """The guided model goes into ComfyUI's sampler."""
    guided = toon.add("UniAVGenGuidance", model=toon.model())
    sampled = toon.add(
        "KSampler", model=guided(), positive=toon.task(0), negative=toon.task(1), latent_image=toon.task(2), seed=1
    )
    return Picture((toon.model,), guided, (sampled,))


def step_cache(toon: ToonGraph) -> Picture:
    """The model goes through the cache into the sampler."""
    cached = toon.add("UniAVGenStepCache", model=toon.model())
    return Picture((toon.model,), cached, (toon.add_sampler(toon.task, model=cached()),))


def best_take(toon: ToonGraph) -> Picture:
    """The best of four takes is decoded."""
    best = toon.add(
        "UniAVGenBestTake", model=toon.model(), **toon.prepared(toon.task), **toon.codecs(), takes=4, seed=1
    )
    return Picture((toon.model, toon.task), best, runs=best)


def retake(toon: ToonGraph) -> Picture:
    """The weak spans of a sampled clip are sampled again."""
    again = toon.add(
        "UniAVGenRetake", model=toon.model(), positive=toon.task(0), negative=toon.task(1), latent=toon.sampled(),
        **toon.codecs(), source_media=toon.task(3), threshold=0.8, seed=2,
    )  # fmt: skip
    return Picture((toon.sampled,), again, runs=again)


def long_video(toon: ToonGraph) -> Picture:
    """A script becomes a video of several segments."""
    made = toon.add(
        "UniAVGenLongVideo", model=toon.model(), **toon.texts(toon.caption), **toon.codecs(), image=toon.image(),
        script="hello happy robot\nred moon\nbye bye star", size="match_input", length="full_segments", seed=1,
    )  # fmt: skip
    saved = toon.add("SaveVideo", video=made(), filename_prefix="video/uniavgen", format="auto", codec="auto")
    return Picture((toon.image,), made, (saved,), runs=saved)


def stored_segments(toon: ToonGraph) -> Picture:
    """A list of what is stored; the node needs no others."""
    segments = toon.add("UniAVGenStoredSegments")
    return Picture((), segments, runs=segments)


def save_latent(toon: ToonGraph) -> Picture:
    """A sampled clip is saved, which the next picture loads."""
    saved = toon.add("UniAVGenSaveLatent", latent=toon.sampled())
    return Picture((toon.sampled,), saved, runs=saved)


def load_latent(toon: ToonGraph) -> Picture:
    """A saved clip is decoded."""
    loaded = toon.add("UniAVGenLoadLatent")
    return Picture((), loaded, (toon.add("UniAVGenDecode", latent=loaded(), **toon.codecs()),))


def decode(toon: ToonGraph) -> Picture:
    """The sampled clip is decoded, and saved."""
    return Picture((toon.sampled, toon.audio_vae), toon.decoded, (toon.saved,))


def save_video(toon: ToonGraph) -> Picture:
    """The decoded clip is saved."""
    return Picture((toon.decoded,), toon.saved, runs=toon.saved)


def find_faces(toon: ToonGraph) -> Picture:
    """The faces of a picture become masks."""
    faces = toon.add("UniAVGenFindFaces", image=toon.image(), source="opencv")
    overlay = toon.add("UniAVGenMaskOverlay", image=toon.image(), mask=faces())
    return Picture((toon.image,), faces, (overlay,))


def show_face_mask(toon: ToonGraph) -> Picture:
    """The predicted mask of a clip is laid over its frames."""
    mask, overlay, _ = overlay_of_face_mask(toon)
    return Picture((toon.sampled,), mask, (overlay,))


def mask_overlay(toon: ToonGraph) -> Picture:
    """A mask is laid over the frames of a clip, and shown."""
    mask, overlay, shown = overlay_of_face_mask(toon)
    return Picture((toon.decoded, mask), overlay, (shown,), runs=shown)


def overlay_of_face_mask(toon: ToonGraph) -> tuple[Node, Node, Node]:
    """The predicted face mask, its overlay and what shows it."""
    links = {"model": toon.model(), "positive": toon.task(0), "latent": toon.sampled()}
    mask = toon.add("UniAVGenShowFaceMask", **links)
    overlay = toon.add("UniAVGenMaskOverlay", image=toon.decoded(), mask=mask())
    return mask, overlay, toon.add("PreviewImage", images=overlay())


def sync_meter(toon: ToonGraph) -> Picture:
    """The lip-sync of a video is measured."""
    parts = toon.add("GetVideoComponents", video=toon.toon())
    meter = toon.add("UniAVGenSyncMeter", images=parts(0), audio=parts(1), fps=parts(2))
    return Picture((parts,), meter, runs=meter)


PICTURES: dict[str, Callable[[ToonGraph], Picture]] = {
    "UniAVGenLoadModel": load_model,
    "UniAVGenLoadTextEncoder": load_text_encoder,
    "UniAVGenLoadVideoVAE": load_video_vae,
    "UniAVGenLoadAudioVAE": load_audio_vae,
    "UniAVGenToonPortrait": toon_portrait,
    "UniAVGenToonClip": toon_clip,
    "UniAVGenSpeechText": speech_text,
    "UniAVGenEmotion": emotion,
    "UniAVGenReferenceImage": reference_image,
    "UniAVGenReferenceVoice": reference_voice,
    "UniAVGenEmptyLatent": empty_latent,
    "UniAVGenTask": task,
    "UniAVGenKeep": keep,
    "UniAVGenSteerFace": steer_face,
    "UniAVGenSpeaker": speaker,
    "UniAVGenSpeakers": speakers,
    "UniAVGenSampler": sampler,
    "UniAVGenGuider": guider,
    "UniAVGenGuidance": guidance,
    "UniAVGenSigmas": sigmas,
    "UniAVGenStepCache": step_cache,
    "UniAVGenBestTake": best_take,
    "UniAVGenRetake": retake,
    "UniAVGenLongVideo": long_video,
    "UniAVGenStoredSegments": stored_segments,
    "UniAVGenSaveLatent": save_latent,
    "UniAVGenLoadLatent": load_latent,
    "UniAVGenDecode": decode,
    "UniAVGenSaveVideo": save_video,
    "UniAVGenFindFaces": find_faces,
    "UniAVGenShowFaceMask": show_face_mask,
    "UniAVGenMaskOverlay": mask_overlay,
    "UniAVGenSyncMeter": sync_meter,
}
"""By a node's id: the function that builds its picture in an empty graph."""
