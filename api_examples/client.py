"""Speaks with a running ComfyUI: uploads files, runs a template's graph and saves its video."""

import argparse
import json
import time
from pathlib import Path
from urllib import error, parse, request


class Client:
    """A program's arguments (`args`), and the inputs of a template's nodes by their titles in the editor (`nodes`)."""

    def __init__(self, template, description, *arguments):
        parser = argparse.ArgumentParser(description=description)
        for name in (*arguments, "--server"):
            parser.add_argument(name, default="http://127.0.0.1:8188")
        self.args = parser.parse_args()
        self.graph = json.loads(Path(__file__).parents[1].joinpath(f"workflows/api/{template}.json").read_text("utf-8"))
        self.nodes = {node["_meta"]["title"]: node["inputs"] for node in self.graph.values()}

    def call(self, path, data=None, kind="application/json"):
        """Ask the server; a POST if there is data."""
        try:
            return json.load(request.urlopen(request.Request(self.args.server + path, data, {"Content-Type": kind})))
        except error.HTTPError as refusal:
            raise SystemExit(refusal.read().decode()) from None

    def load(self, loader, widget, file):
        """Upload a file and add a node that loads it; returns a link to that."""
        head = f'--cut\r\nContent-Disposition: form-data; name="image"; filename="{Path(file).name}"\r\n\r\n'.encode()
        body = head + Path(file).read_bytes() + b"\r\n--cut--\r\n"
        name = self.call("/upload/image", body, "multipart/form-data; boundary=cut")["name"]
        self.graph[loader] = {"class_type": loader, "inputs": {widget: name}}
        return [loader, 0]

    def run(self):
        """Run the graph, save its video in the current folder, and print its name."""
        prompt_id = self.call("/prompt", json.dumps({"prompt": self.graph}).encode())["prompt_id"]
        while not (done := self.call(f"/history/{prompt_id}").get(prompt_id)):
            time.sleep(1)
        if done["status"]["status_str"] != "success":
            raise SystemExit(json.dumps(done["status"]["messages"][-1], indent=1))
        (file,) = [file for output in done["outputs"].values() for file in output.get("images", [])]
        print(request.urlretrieve(f"{self.args.server}/view?{parse.urlencode(file)}", file["filename"])[0])
