"""The IPTC digital source type, which marks files as made or partly made by AI.

Source: IPTC Photo Metadata Standard, 'Digital Source Type', and its vocabulary cv.iptc.org/newscodes/digitalsourcetype;
for its place in an mp4 file, Adobe's XMP Specification, part 3, section 'MPEG-4'.
"""

from pathlib import Path
from uuid import UUID

VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
GENERATED = f"{VOCABULARY}trainedAlgorithmicMedia"
COMPOSITE = f"{VOCABULARY}compositeWithTrainedAlgorithmicMedia"
"""Digital source type of generated media combined with a user's own."""
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


def digital_source_type(has_user_media: bool) -> str:
    """Digital source type of a clip, a URI."""
    return COMPOSITE if has_user_media else GENERATED


def source_type_tags(source_type: str) -> dict[str, str]:
    """Tags with a digital source type, for any file format that holds metadata."""
    verb = "partly generated" if source_type == COMPOSITE else "generated"
    return {KEY: source_type, "comment": f"This clip was {verb} by AI (UniAVGen in ComfyUI)."}


def append_xmp(path: Path, source_type: str) -> None:
    """Append a digital source type to an mp4 file as XMP, in a box that players skip."""
    payload = XMP_UUID.bytes + XMP.format(source_type=source_type).encode()
    with path.open("ab") as file:
        file.write((8 + len(payload)).to_bytes(4, "big") + b"uuid" + payload)
