"""Video to speech: python dubbing.py silent.mp4 "A woman talks to the camera." "nice red robot"."""

from client import Client

client = Client("dubbing", __doc__, "video", "caption", "transcript")
client.nodes["Task"]["task.video"] = client.load("LoadVideo", "file", client.args.video)
client.nodes["Caption"]["text"] = client.args.caption
client.nodes["Speech"]["transcript"] = client.args.transcript
client.run()
