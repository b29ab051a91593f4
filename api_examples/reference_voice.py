"""In a reference voice: python reference_voice.py face.png "A woman talks." voice.wav "its words" "hello moon"."""

import argparse
import json
import time
from pathlib import Path
from urllib.request import Request, urlopen, urlretrieve

parser = argparse.ArgumentParser(description=__doc__)
for name in ("image", "caption", "voice", "voice_transcript", "transcript"):
    parser.add_argument(name)
parser.add_argument("--server", default="http://127.0.0.1:8188")
args = parser.parse_args()


def call(path, data=None, kind="application/json"):  # POST if there is data
    return json.load(urlopen(Request(args.server + path, data, {"Content-Type": kind})))


def upload(file):  # into ComfyUI's input folder
    head = f'--cut\r\nContent-Disposition: form-data; name="image"; filename="{Path(file).name}"\r\n\r\n'
    body = head.encode() + Path(file).read_bytes() + b"\r\n--cut--\r\n"
    return call("/upload/image", body, "multipart/form-data; boundary=cut")["name"]


graph = json.loads((Path(__file__).parents[1] / "workflows" / "api" / "reference_voice.json").read_text("utf-8"))
inputs = {node["_meta"]["title"]: node["inputs"] for node in graph.values()}  # by the titles in the editor
graph["image"] = {"class_type": "LoadImage", "inputs": {"image": upload(args.image)}}
graph["voice"] = {"class_type": "LoadAudio", "inputs": {"audio": upload(args.voice)}}
inputs["Task"] |= {"task.image": ["image", 0], "task.voice": ["voice", 0]}
inputs["Task"]["task.voice_transcript"] = args.voice_transcript
inputs["Speech"]["transcript"] = args.transcript
inputs["Caption"]["text"] = args.caption
prompt_id = call("/prompt", json.dumps({"prompt": graph}).encode())["prompt_id"]
while not (done := call(f"/history/{prompt_id}").get(prompt_id)):
    time.sleep(1)
if done["status"]["status_str"] != "success":
    raise SystemExit(json.dumps(done["status"]["messages"][-1], indent=1))
(file,) = [file for output in done["outputs"].values() for file in output.get("images", [])]
print(urlretrieve(f"{args.server}/view?filename={file['filename']}&subfolder={file['subfolder']}", file["filename"])[0])
