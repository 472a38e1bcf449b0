// A picture, or several at once, under one lens: zoom with the wheel or fingers, pan by dragging.

import { make } from "./format.js";

const MOST = 40;
const STEP = 1.4;

export class Stage {
  /** Looks at what is put into `view`; calls `onZoom(scale)` with the size relative to fitting. */
  constructor(view, onZoom = () => {}) {
    this.view = view;
    this.onZoom = onZoom;
    this.pointers = new Map();
    view.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0018)), event);
    }, { passive: false });
    view.addEventListener("pointerdown", (event) => {
      view.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, event);
      this.moved = 0;
    });
    view.addEventListener("pointermove", (event) => this.drag(event));
    for (const end of ["pointerup", "pointercancel"]) view.addEventListener(end, (event) => this.pointers.delete(event.pointerId));
    view.addEventListener("dblclick", (event) => (this.scale > 1 ? this.fit() : this.zoom(this.whole(), event)));
    this.fit();
  }

  fit() {
    this.scale = 1;
    this.x = this.y = 0;
    this.apply();
  }

  /** How much larger the picture is in its own pixels; at least 2. */
  whole() {
    const image = this.view.querySelector("img, canvas");
    const box = image?.parentElement.getBoundingClientRect();
    const width = image?.naturalWidth ?? image?.width;
    const height = image?.naturalHeight ?? image?.height;
    return width ? Math.max(2, 1 / Math.min(box.width / width, box.height / height)) : 2;
  }

  step(inwards) {
    this.zoom(inwards ? STEP : 1 / STEP);
  }

  /** Scales by `factor` around a point of the screen, or the middle. */
  zoom(factor, at) {
    const scale = Math.min(MOST, Math.max(1, this.scale * factor));
    const pane = at && document.elementsFromPoint(at.clientX, at.clientY).find((element) => element.matches(".pane"));
    const box = (pane ?? this.view.firstElementChild ?? this.view).getBoundingClientRect();
    const x = at ? at.clientX - box.left - box.width / 2 : 0;
    const y = at ? at.clientY - box.top - box.height / 2 : 0;
    const ratio = scale / this.scale;
    this.x = x - (x - this.x) * ratio;
    this.y = y - (y - this.y) * ratio;
    this.scale = scale;
    this.apply();
  }

  drag(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    if (this.pointers.size === 2) {
      const [other] = [...this.pointers.values()].filter((pointer) => pointer.pointerId !== event.pointerId);
      const far = (pointer) => Math.hypot(pointer.clientX - other.clientX, pointer.clientY - other.clientY) || 1;
      const middle = { clientX: (event.clientX + other.clientX) / 2, clientY: (event.clientY + other.clientY) / 2 };
      this.zoom(far(event) / far(before), middle);
    } else if (this.scale > 1) {
      this.x += event.clientX - before.clientX;
      this.y += event.clientY - before.clientY;
      this.apply();
    }
    this.pointers.set(event.pointerId, event);
  }

  apply() {
    const box = (this.view.firstElementChild ?? this.view).getBoundingClientRect();
    const [roomX, roomY] = [(box.width * (this.scale - 1)) / 2, (box.height * (this.scale - 1)) / 2];
    this.x = Math.max(-roomX, Math.min(roomX, this.x));
    this.y = Math.max(-roomY, Math.min(roomY, this.y));
    this.view.style.setProperty("--scale", this.scale);
    this.view.style.setProperty("--x", `${this.x}px`);
    this.view.style.setProperty("--y", `${this.y}px`);
    this.view.classList.toggle("close", this.scale > 4);
    this.onZoom(this.scale);
  }
}

/** An image as a stage shows it: its thumbnail until the picture itself is there. `onError()` is called if that cannot be shown. */
export function pane(image, onError) {
  const picture = make("img", { alt: image.filename, draggable: "false", src: image.content_url });
  const soft = make("img", { class: "soft", alt: "", draggable: "false", src: `${image.thumbnail_url}&width=256` });
  picture.addEventListener("load", () => soft.remove());
  picture.addEventListener("error", () => {
    soft.remove();
    picture.classList.add("behind"); // or the browser draws a sign of its own
    onError();
  });
  return make("figure", { class: "pane" }, picture, soft);
}
