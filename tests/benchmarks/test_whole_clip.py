"""The table of a whole clip's parts."""

from argparse import Namespace

from benchmarks import clip_parts, whole_clip
from benchmarks.encoder_roofline import TINY, Card, coding_seconds
from uniavgen_core.shapes import AVShape

SPEEDS = {"teraflop": 790, "float32_teraflop": 55, "terabyte": 4, "disk": 3}
SMALL = AVShape(64, 64, 5)


def test_every_part_of_a_clip_has_a_row_and_sums_leave_out_what_happens_once(pack, monkeypatch):  # noqa: ARG001
    computed = dict.fromkeys((*whole_clip.ROWS, TINY, f"{whole_clip.FEW_PASSES} passes"), 1.0)
    monkeypatch.setattr(whole_clip, "released", lambda *_: computed)
    results = whole_clip.measure(Namespace(clips=2, width=64, height=64, no_server=True, **SPEEDS))
    of_a_clip = {name: row for name, row in results["bundled"].items() if name != clip_parts.LOADING}
    assert set(of_a_clip) == set(whole_clip.ROWS) - {clip_parts.START, clip_parts.PACK_IMPORT, clip_parts.LOADING}
    assert results["pictures"]["frames"] <= results["pictures"]["peak"] < 2 * results["pictures"]["frames"]
    lines = {line[:22].strip(): line for line in whole_clip.table(results).splitlines()}
    assert all(f"{row['warm']:10.3f}" in lines[name] for name, row in of_a_clip.items())
    assert f"{sum(row['warm'] for row in of_a_clip.values()):10.3f}" in lines["a clip, files loaded"]


def test_most_of_what_codes_at_the_released_size_is_the_decoder(pack):  # noqa: ARG001
    seconds = coding_seconds(Card(790, 55, 4), SMALL)
    assert set(seconds) == {clip_parts.TEXTS, clip_parts.ENCODING, clip_parts.PICTURE, clip_parts.SOUND, TINY}
    assert 2 * seconds[clip_parts.ENCODING] < seconds[clip_parts.PICTURE]
    assert 2 * seconds[TINY] < seconds[clip_parts.PICTURE]
