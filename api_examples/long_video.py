"""A script as one long video: python long_video.py face.png "A woman talks to the camera." script.txt."""

from pathlib import Path

from client import Client

client = Client("long_video", __doc__, "image", "caption", "script")
client.nodes["Long video"]["image"] = client.load("LoadImage", "image", client.args.image)
client.nodes["Long video"]["script"] = Path(client.args.script).read_text("utf-8")
client.nodes["Caption"]["text"] = client.args.caption
client.run()
