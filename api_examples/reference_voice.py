"""In a reference voice: python reference_voice.py face.png "A woman talks." voice.wav "its words" "hello moon"."""

from client import Client

client = Client("reference_voice", __doc__, "image", "caption", "voice", "voice_transcript", "transcript")
task = client.nodes["Task"]
task["task.image"] = client.load("LoadImage", "image", client.args.image)
task["task.voice"] = client.load("LoadAudio", "audio", client.args.voice)
task["task.voice_transcript"] = client.args.voice_transcript
client.nodes["Caption"]["text"] = client.args.caption
client.nodes["Speech"]["transcript"] = client.args.transcript
client.run()
