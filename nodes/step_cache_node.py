"""Leaving out calls of the network whose result hardly changes from step to step."""

from comfy_api.latest import io

from .host.sampling.cached_sampling import patch_step_cache


def _threshold(name: str, what: str) -> io.Input:
    return io.Float.Input(
        name,
        default=0.05,
        min=0.0,
        max=3.0,
        step=0.01,
        tooltip=f"How much the {what} may be about to change, as a share of itself, for a call to be left out; it is "
        "run if picture or sound reaches its threshold. 0 leaves nothing out.",
    )


class StepCacheNode(io.ComfyNode):
    """Leaves out calls of the network while neither picture nor sound changes much."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenStepCache",
            display_name="UniAVGen Step Cache",
            category="UniAVGen/sampling",
            description="Makes sampling faster by leaving out calls of the network where neither picture nor sound is "
            "about to change by more than its own threshold.",
            inputs=[
                io.Model.Input("model", tooltip="A UniAVGen model."),
                _threshold("video_threshold", "picture"),
                _threshold("audio_threshold", "sound"),
                io.Float.Input(
                    "start_percent",
                    default=0.1,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    advanced=True,
                    tooltip="Share of the sampling after which calls may be left out.",
                ),
                io.Float.Input(
                    "end_percent",
                    default=0.95,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    advanced=True,
                    tooltip="Share of the sampling at which every call is run again.",
                ),
            ],
            outputs=[io.Model.Output()],
        )

    @classmethod
    def execute(
        cls, model, video_threshold: float, audio_threshold: float, start_percent: float, end_percent: float
    ) -> io.NodeOutput:
        thresholds = (video_threshold, audio_threshold)
        return io.NodeOutput(patch_step_cache(model, thresholds, start_percent, end_percent))
