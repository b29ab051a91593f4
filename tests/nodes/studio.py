"""The pack's nodes called as ComfyUI calls them, in this process, with the bundled model."""

import torch

from tests.nodes.graphs import GUIDANCE


class Studio:
    """Loaders, texts and what follows a task, for clips small enough for a test."""

    SIZE = 64

    def __init__(self, pack):
        self.pack, self.nodes = pack, pack.nodes
        bundled = self.nodes.host.model.model_choices.BUNDLED
        load = self.nodes.loaders
        self.model = load.LoadModel.execute(bundled).args[0]
        self.clip = load.LoadTextEncoder.execute(bundled).args[0]
        self.video_vae = load.LoadVideoVAE.execute(bundled).args[0]
        self.audio_vae = load.LoadAudioVAE.execute(load.GRIFFIN_LIM).args[0]

    def caption(self, text):
        return self.clip.encode_from_tokens_scheduled(self.clip.tokenize(text))

    def texts(self, transcript="hello"):
        """Positive and negative CONDITIONING."""
        positive = self.caption("A happy toon with red hair nods while talking to the camera.")
        if transcript:
            positive = self.nodes.speech_and_reference.SpeechText.execute(positive, transcript).args[0]
        return positive, self.caption("")

    def image(self, portrait="toon_5_happy"):
        return self.nodes.toon_examples.ToonPortrait.execute(portrait).args[0]

    def example(self, clip="toon_7"):
        """VIDEO, AUDIO and transcript of a bundled clip."""
        return self.nodes.toon_examples.ToonClip.execute(clip).args[:3]

    def task(self, name, transcript="hello", size=None, **inputs):
        """Outputs of the task node; ``size`` changes what its widget says."""
        positive, negative = self.texts(transcript)
        chosen = {"task": name, **inputs}
        size = {"size": "custom", "width": self.SIZE, "height": self.SIZE, "fit": "crop"} | (size or {})
        return self.nodes.task.Task.execute(positive, negative, self.video_vae, size, chosen)

    def sample(self, positive, negative, latent, steps=1, seed=0):
        with torch.inference_mode():
            return self.nodes.samplers.Sampler.execute(
                self.model, positive, negative, latent, seed, steps, 5.0, audio_preview_every=0, **GUIDANCE
            ).args[0]

    def decode(self, latent, source_media=None, vocoded=False):
        """Images, AUDIO and frames a second of one clip."""
        with torch.inference_mode():
            output = self.nodes.decode.Decode.execute(latent, self.video_vae, self.audio_vae, source_media, vocoded)
        (images,), (audio,), fps = output.args
        return images, audio, fps

    def make(self, name, vocoded=False, **inputs):
        """Images, AUDIO and frames a second of a task, in one step."""
        positive, negative, latent, given = self.task(name, **inputs).args
        return self.decode(self.sample(positive, negative, latent), given, vocoded)


def notices_of(output):
    """What a node told its user."""
    return " ".join((output.ui or {}).get("uniavgen_notices", []))


def video_of(frames, fps, audio=None):
    """VIDEO of frames (F, H, W, 3) in [0, 1]."""
    from comfy_api.latest import InputImpl, Types

    return InputImpl.VideoFromComponents(Types.VideoComponents(images=frames, audio=audio, frame_rate=fps))


def moving_frames(count, height=48, width=80, seed=0):
    """Smooth pictures that differ from frame to frame."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, max(2, count // 4), 4, 4, generator=generator)
    frames = torch.nn.functional.interpolate(coarse, (count, height, width), mode="trilinear", align_corners=True)
    return frames[0].permute(1, 2, 3, 0).contiguous()


def speech_at(audio, sample_rate, channels=2):
    """An AUDIO at another rate, with channels that differ."""
    import torchaudio

    waveform = torchaudio.functional.resample(audio["waveform"], audio["sample_rate"], sample_rate)
    gains = torch.linspace(1, 0.2, channels)[None, :, None]
    return {"waveform": waveform.mean(1, keepdim=True) * gains, "sample_rate": sample_rate}
