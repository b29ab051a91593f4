// Shows on the node that samples what its clip looks and sounds like so far, and in the end what it has become. It
// plays when the user presses play. Its pictures move silently until the result is there.
// Sound goes through Web Audio: an <audio> element would need a blob URL, which ComfyUI's --disable-api-nodes forbids.
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { message } from "./translations.js";

const EVENT = "uniavgen.audio_preview";
const WIDGET = "uniavgen_preview";
const FRAMES_PER_SECOND = 16;
const SAMPLE_RATE = 24000;
const WAV_HEADER_BYTES = 44;
const REDRAW_MS = 60;
const WIDTH = 480;
const PICTURE_HEIGHT = 200;
const WAVE_HEIGHT = 56;
const WIDGET_HEIGHT = 230;

const bytesOf = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

/** The node of an id; "5:3" is node 3 in the subgraph of node 5. */
function nodeOf(path) {
  let graph = app.rootGraph ?? app.graph;
  let node = null;
  for (const id of String(path).split(":")) {
    node = graph?.getNodeById(id);
    graph = node?.subgraph;
  }
  return node;
}

function make(tag, style, properties = {}) {
  const element = Object.assign(document.createElement(tag), properties);
  element.style.cssText = style;
  return element;
}

/** Loudest sample of each column of a drawing, 0 to 1. */
function peaksOf(samples, columns) {
  return Array.from({ length: columns }, (_, column) => {
    const part = samples.subarray((column * samples.length) / columns, ((column + 1) * samples.length) / columns);
    return part.reduce((peak, sample) => Math.max(peak, Math.abs(sample)), 0);
  });
}

class Player {
  constructor() {
    this.element = make("div", "display:flex;flex-direction:column;gap:4px;width:100%;height:100%;min-height:0", {
      className: "uniavgen-preview",
    });
    this.canvas = make("canvas", "width:100%;flex:1;min-height:0;object-fit:contain;cursor:pointer", {
      width: WIDTH,
      height: PICTURE_HEIGHT + WAVE_HEIGHT,
      title: message("click_to_play"),
    });
    const row = make("div", "display:flex;align-items:center;gap:8px;flex:none;font-size:12px");
    this.button = make(
      "button",
      "width:34px;height:26px;border:0;border-radius:6px;background:#5ab0ff;color:#10131a;font-size:13px;cursor:pointer",
      { type: "button", onclick: () => (this.isPlaying ? this.stop() : this.play(0)) },
    );
    this.label = make("span", "opacity:.75");
    row.append(this.button, this.label);
    this.element.append(this.canvas, row);
    this.canvas.addEventListener("click", (event) => this.play(event.offsetX / this.canvas.clientWidth));
    this.isPlaying = false;
    this.isResult = false;
    this.waiting = null;
    this.request = 0; // of the next picture; 0 while nothing moves
    this.drawn = 0;
    this.setButton();
  }

  /** Take a new preview; one that is being listened to is heard to its end first. */
  show(preview) {
    this.waiting = preview;
    if (!this.isPlaying) this.takeWaiting();
  }

  takeWaiting() {
    const preview = this.waiting;
    if (!preview) return;
    this.waiting = null;
    const whole = new Int16Array(bytesOf(preview.wav).buffer, WAV_HEADER_BYTES);
    this.samples = Float32Array.from(whole, (sample) => sample / 32768);
    this.duration = this.samples.length / SAMPLE_RATE;
    this.peaks = peaksOf(this.samples, WIDTH / 3);
    this.count = preview.count;
    this.framesPerPicture = preview.frames_per_picture; // the first picture stands for one frame
    this.isResult = Boolean(preview.is_result);
    const picture = new Image();
    picture.onload = () => this.animate();
    picture.src = `data:image/png;base64,${preview.pictures}`;
    this.picture = picture;
    const segment = preview.segments > 1 ? [message("segment", preview)] : [];
    const what = preview.is_result ? message("result") : message("step", preview);
    const seconds = message("seconds", { seconds: this.duration.toFixed(1) });
    this.label.textContent = [...segment, what, seconds].join(", ");
  }

  /** Play from a place between 0 and 1. */
  play(from) {
    if (!this.samples) return;
    this.stop();
    this.context ??= new AudioContext();
    this.context.resume();
    const buffer = this.context.createBuffer(1, this.samples.length, SAMPLE_RATE);
    buffer.copyToChannel(this.samples, 0);
    this.source = this.context.createBufferSource();
    this.source.buffer = buffer;
    this.source.connect(this.context.destination);
    this.source.onended = () => this.stop();
    this.source.start(0, from * this.duration);
    this.begun = this.context.currentTime - from * this.duration;
    this.isPlaying = true;
    this.setButton();
    this.animate();
  }

  stop() {
    if (this.source) {
      this.source.onended = null;
      this.source.stop();
      this.source = null;
    }
    this.isPlaying = false;
    this.setButton();
    this.takeWaiting();
  }

  setButton() {
    this.button.textContent = this.isPlaying ? "\u25A0" : "\u25B6";
    this.button.setAttribute("aria-label", message(this.isPlaying ? "stop" : "play"));
  }

  /** Seconds into the clip: those that are heard, or, silently, round and round; a result rests on its beginning. */
  get time() {
    if (this.isPlaying) return this.context.currentTime - this.begun;
    return this.isResult ? 0 : (performance.now() / 1000) % this.duration;
  }

  /** Draw while the pictures move, and a last time when they stop. The browser asks for none while the tab is hidden. */
  animate() {
    if (this.request) return;
    const next = (now) => {
      this.request = this.isPlaying || !this.isResult ? requestAnimationFrame(next) : 0;
      if (this.request && now - this.drawn < REDRAW_MS) return;
      this.drawn = now;
      this.draw();
    };
    this.request = requestAnimationFrame(next);
  }

  draw() {
    if (!this.picture?.complete || !this.picture.naturalWidth) return;
    const pen = this.canvas.getContext("2d");
    const width = this.picture.naturalWidth / this.count;
    const height = this.picture.naturalHeight;
    const scale = Math.min(WIDTH / width, PICTURE_HEIGHT / height);
    const frame = Math.floor(this.time * FRAMES_PER_SECOND);
    const shown = Math.min(this.count - 1, Math.ceil(frame / this.framesPerPicture));
    const left = (WIDTH - width * scale) / 2;
    pen.clearRect(0, 0, WIDTH, PICTURE_HEIGHT + WAVE_HEIGHT);
    pen.drawImage(this.picture, shown * width, 0, width, height, left, 0, width * scale, height * scale);
    this.drawWave(pen);
  }

  drawWave(pen) {
    const middle = PICTURE_HEIGHT + WAVE_HEIGHT / 2;
    const loudest = Math.max(...this.peaks, 0.05);
    const heard = this.isPlaying ? this.time / this.duration : 0;
    this.peaks.forEach((peak, column) => {
      pen.fillStyle = column / this.peaks.length < heard ? "#7ee2a8" : "#5ab0ff";
      const half = Math.max(1, ((peak / loudest) * (WAVE_HEIGHT - 8)) / 2);
      pen.fillRect(3 * column, middle - half, 2, 2 * half);
    });
  }

  remove() {
    this.waiting = null;
    this.stop();
    if (this.picture) this.picture.onload = null;
    cancelAnimationFrame(this.request);
    this.context?.close();
  }
}

/** The player on a node, put there on first use. It is never saved with the workflow. */
function playerOn(node) {
  const known = node.widgets?.find((widget) => widget.name === WIDGET);
  if (known) return known.player;
  const player = new Player();
  const options = { serialize: false, hideOnZoom: false, getMinHeight: () => WIDGET_HEIGHT };
  const widget = node.addDOMWidget(WIDGET, WIDGET, player.element, options);
  const removed = widget.onRemove;
  Object.assign(widget, { player, serialize: false });
  widget.onRemove = function () {
    removed?.call(this);
    player.remove();
  };
  node.setSize([node.size[0], Math.max(node.size[1], node.computeSize()[1])]);
  return player;
}

app.registerExtension({
  name: "UniAVGen.AudioPreview",
  setup() {
    api.addEventListener(EVENT, ({ detail }) => {
      const node = nodeOf(detail.node);
      if (!node) return;
      playerOn(node).show(detail);
      app.canvas?.setDirty?.(true, true);
    });
  },
});
