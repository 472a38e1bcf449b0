// Two versions of one image: beside each other, flickering in one place, or as their difference.

import { imagePath } from "./api.js";
import { bytes, exactly, make, say } from "./format.js";

const FLICKER_MS = 550;
const LOUDER = 4; // how much fainter differences are amplified

/** The URL of one side of an image, here as this page's own origin. */
function sideUrl(actor, image, side) {
  const version = side === "s3" ? image.s3?.etag : image.md5_hash;
  return `${imagePath(actor, image.filename)}/content?side=${side}&direct=false&v=${encodeURIComponent(version ?? "")}`;
}

export class Compare {
  /** Shows itself in `view`; `say(text)` tells what there is to tell. */
  constructor(view, told) {
    this.view = view;
    this.told = told;
    this.timer = 0;
  }

  /** Shows both sides of `image` in a mode: `beside`, `flicker` or `difference`. */
  show(actor, image, mode) {
    this.stop();
    this.view.classList.toggle("beside", mode === "beside");
    this.sides = ["local", "s3"].map((side) => {
      const picture = make("img", { alt: `${image.filename}, ${side === "s3" ? "in S3" : "on this disk"}`, draggable: "false", src: sideUrl(actor, image, side) });
      picture.addEventListener("error", () => this.told(`${side === "s3" ? "S3's" : "This disk's"} version cannot be shown`));
      return picture;
    });
    const captions = [["This disk", image.size_bytes, image.modified_date], ["S3", image.s3?.size_bytes, image.s3?.last_modified]].map(
      ([title, size, when]) => make("figcaption", {}, make("b", {}, title), ` ${[bytes(size), exactly(when)].filter(Boolean).join(" · ")}`));
    if (mode === "beside") this.view.replaceChildren(...this.sides.map((side, index) => make("figure", { class: "pane" }, captions[index], side)));
    else if (mode === "flicker") this.flicker(captions);
    else this.difference();
  }

  flicker(captions) {
    this.captions = captions;
    this.view.replaceChildren(make("figure", { class: "pane" }, ...captions, ...this.sides));
    this.front(0);
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.told(calm ? "Hold Space to see S3's version" : "Space holds S3's version");
    if (!calm) this.timer = setInterval(() => this.front(1 - this.shown), FLICKER_MS);
  }

  /** Holds S3's version in front, or lets go; true if that means anything now. */
  hold(on) {
    if (!this.captions) return false;
    clearInterval(this.timer);
    this.front(on ? 1 : 0);
    return true;
  }

  front(index) {
    this.shown = index;
    this.sides.forEach((side, place) => side.classList.toggle("behind", place !== index));
    this.captions.forEach((caption, place) => (caption.hidden = place !== index));
  }

  async difference() {
    const canvas = make("canvas", { role: "img", "aria-label": "Where the two versions differ" });
    const caption = make("figcaption", {}, "Comparing");
    this.view.replaceChildren(make("figure", { class: "pane" }, caption, canvas));
    const { sides } = this;
    try {
      await Promise.all(sides.map((side) => side.decode()));
      if (sides === this.sides) say(caption, draw(canvas, ...sides));
    } catch {
      if (sides === this.sides) say(caption, "They cannot be compared: one of them cannot be shown");
    }
  }

  stop() {
    clearInterval(this.timer);
    this.captions = null;
    this.sides = null;
    this.told("");
  }
}

function pixels(image, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

/** Draws |one − other|, amplified, and says how much that is. The larger size rules. */
function draw(canvas, one, other) {
  const width = Math.max(one.naturalWidth, other.naturalWidth);
  const height = Math.max(one.naturalHeight, other.naturalHeight);
  [canvas.width, canvas.height] = [width, height];
  const drawn = pixels(one, width, height);
  const { data } = drawn;
  const theirs = pixels(other, width, height).data;
  let differing = 0;
  for (let at = 0; at < data.length; at += 4) {
    let most = 0;
    for (let channel = at; channel < at + 3; channel += 1) {
      const apart = Math.abs(data[channel] - theirs[channel]);
      most = Math.max(most, apart);
      data[channel] = Math.min(255, apart * LOUDER);
    }
    data[at + 3] = 255;
    if (most) differing += 1;
  }
  canvas.getContext("2d").putImageData(drawn, 0, 0);
  const sizes = one.naturalWidth === other.naturalWidth && one.naturalHeight === other.naturalHeight
    ? "" : ` Sizes differ: ${one.naturalWidth}×${one.naturalHeight} here, ${other.naturalWidth}×${other.naturalHeight} in S3.`;
  if (!differing) return `The same pixels: only what lies around them differs.${sizes}`;
  const share = (differing / (width * height)) * 100;
  return `${share < 0.1 ? "Less than 0.1" : share.toFixed(1)} % of the pixels differ, shown ${LOUDER} times brighter.${sizes}`;
}
