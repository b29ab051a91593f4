"""The IPTC digital source type, with which a file says how it was made.

Source: IPTC Photo Metadata Standard, 'Digital Source Type', and its vocabulary cv.iptc.org/newscodes/digitalsourcetype;
for the place in an mp4 file, Adobe's XMP Specification, part 3, section 'MPEG-4'.
"""

from pathlib import Path
from uuid import UUID

VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
GENERATED = f"{VOCABULARY}trainedAlgorithmicMedia"
COMPOSITE = f"{VOCABULARY}compositeWithTrainedAlgorithmicMedia"
"""Generated media together with a user's own."""
KEY = "digital_source_type"
XMP_UUID = UUID("be7acfcb-97a9-42e8-9c71-999491e3afac")
XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/">
   <Iptc4xmpExt:DigitalSourceType>{source_type}</Iptc4xmpExt:DigitalSourceType>
   <xmp:CreatorTool>ComfyUI-UniAVGen</xmp:CreatorTool>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>
"""


def source_type(has_own_material: bool) -> str:
    """The digital source type of a clip, a URI."""
    return COMPOSITE if has_own_material else GENERATED


def tags_of(kind: str) -> dict[str, str]:
    """A digital source type as tags that any file with metadata can hold."""
    parts = "partly generated" if kind == COMPOSITE else "generated"
    return {KEY: kind, "comment": f"This clip was {parts} by AI (UniAVGen in ComfyUI)."}


def append_xmp(path: Path, kind: str) -> None:
    """Write a digital source type as XMP at the end of an mp4 file, in a box that players skip."""
    payload = XMP_UUID.bytes + XMP.format(source_type=kind).encode()
    with path.open("ab") as file:
        file.write((8 + len(payload)).to_bytes(4, "big") + b"uuid" + payload)
