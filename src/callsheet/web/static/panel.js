// What is known of one image, in words.

import { get, imagePath } from "./api.js";
import { ago, bytes, exactly, make, WORDS } from "./format.js";

const code = (text) => (text ? make("code", {}, text) : null);
const moment = (iso) => (iso ? make("time", { datetime: iso, title: exactly(iso) }, `${exactly(iso)} (${ago(iso)})`) : null);

function table(rows) {
  return make("dl", {}, ...rows.filter(([, value]) => value).flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

function section(title, rows, otherwise) {
  const filled = rows.some(([, value]) => value);
  return [make("h3", {}, title), filled ? table(rows) : make("p", { class: "muted" }, otherwise)];
}

/** Fills the panel; the raw entry is asked for when it is opened. */
export function fillPanel(panel, actor, image) {
  const opened = panel.querySelector("details")?.open ?? false;
  const status = WORDS.statuses[image.status] ?? WORDS.statuses.unknown;
  const { s3 } = image;
  const raw = make("details", {}, make("summary", {}, "Entry in the manifest"), make("pre", {}, ""));
  raw.addEventListener("toggle", () => raw.open && showRaw(raw.querySelector("pre"), actor, image));
  panel.replaceChildren(
    ...section("Status", [
      ["Is", status.meaning],
      ["Change", image.change && WORDS.changes[image.change]],
      ["Known by", image.evidence && WORDS.evidence[image.evidence]],
      ["Since", moment(image.checked_at)],
      ["Now", image.corrupt ? "Its bytes changed under an unchanged size and time" : { touched: "Changed on disk since the last sync", gone: "Gone from this disk since the last sync" }[image.changed_since_sync]],
    ]),
    ...section("On this disk", image.local_exists ? [
      ["Path", code(image.local_path)], ["Pixels", image.width && `${image.width} × ${image.height}`],
      ["Size", bytes(image.size_bytes)], ["Modified", moment(image.modified_date)], ["MD5", code(image.md5_hash)],
    ] : [], "Not here"),
    ...section("In S3", s3 ? [
      ["Key", code(s3.uri)], ["Size", bytes(s3.size_bytes)], ["Modified", moment(s3.last_modified)], ["MD5", code(s3.md5)], ["ETag", code(s3.etag)],
    ] : [["URL", code(image.s3_url)]], "Not there"),
    ...(image.prompt ? [make("h3", {}, "Prompt"), make("p", { class: "prompt" }, image.prompt)] : []),
    make("h3", {}, "Raw"), raw,
  );
  raw.open = opened;
}

async function showRaw(place, actor, image) {
  try {
    const { raw } = await get(imagePath(actor, image.filename));
    place.textContent = JSON.stringify(raw, null, 2);
  } catch (error) {
    place.textContent = `${error.message}\n${error.hint}`;
  }
}
