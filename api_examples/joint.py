"""Image to talking video: python joint.py face.png "A woman talks to the camera." "hello moon"."""

from client import Client

client = Client("quick_start", __doc__, "image", "caption", "transcript")
client.nodes["Task"]["task.image"] = client.load("LoadImage", "image", client.args.image)
client.nodes["Caption"]["text"] = client.args.caption
client.nodes["Speech"]["transcript"] = client.args.transcript
client.run()
