"""Lip-sync to audio: python audio_driven.py face.png "A woman talks to the camera." speech.wav "its words"."""

from client import Client

client = Client("audio_driven", __doc__, "image", "caption", "audio", "transcript")
client.nodes["Task"]["task.image"] = client.load("LoadImage", "image", client.args.image)
client.nodes["Task"]["task.audio"] = client.load("LoadAudio", "audio", client.args.audio)
client.nodes["Caption"]["text"] = client.args.caption
client.nodes["Speech"]["transcript"] = client.args.transcript
client.run()
