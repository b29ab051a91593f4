"""Continuation of a clip: python continuation.py clip.mp4 "A woman talks to the camera." "red moon"."""

from client import Client

client = Client("continuation", __doc__, "video", "caption", "transcript")
client.nodes["Task"]["task.video"] = client.load("LoadVideo", "file", client.args.video)
client.nodes["Caption"]["text"] = client.args.caption
client.nodes["Speech"]["transcript"] = client.args.transcript
client.run()
