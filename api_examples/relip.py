"""New words and lips in a video: python relip.py talk.mp4 "A woman talks to the camera." "yes star five"."""

from client import Client

client = Client("relip", __doc__, "video", "caption", "transcript")
client.nodes["Task"]["task.video"] = client.load("LoadVideo", "file", client.args.video)
client.nodes["Caption"]["text"] = client.args.caption
client.nodes["Speech"]["transcript"] = client.args.transcript
client.run()
