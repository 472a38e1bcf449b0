// Problems as the API tells them, with what to do next: in their own words where those hold for the page.

import { make, plural } from "./format.js";

// What the page says where the command line has other means than it, by code.
const WORDS = {
  conflict: "Both sides changed, or it is not known which did, so neither was replaced. Open it to compare both and keep one.",
  damaged: "S3's version cannot be decoded, so it replaces nothing. Open it to keep this disk's.",
  not_proven: "Its object in S3 was not compared with the file, so the file stays. Sync first.",
};
const LOCAL_DAMAGED = "This disk's version is damaged, so it replaces nothing. Keep S3's.";

/** What a problem of a job says; `prefer` is the side that the job was to keep, if any. */
export const wordsOf = ({ code, message }, prefer) => (code === "conflict" && prefer ? LOCAL_DAMAGED : (WORDS[code] ?? message));

/** Shows `problems` (`{actor, filename, code, message}`) in a section, `where` says of what; hides it if there are none. */
export function showProblems(section, problems, where = "") {
  const said = JSON.stringify(problems);
  if (section.dataset.said === said) return;
  section.dataset.said = said;
  section.hidden = !problems.length;
  const lines = problems.map((problem) =>
    make("li", { title: problem.code }, make("b", {}, problem.filename || problem.actor), problem.message));
  const few = problems.length <= 3;
  section.replaceChildren(make("details", { open: few ? "" : null }, make("summary", {}, `${plural(problems.length, "problem")} ${where}`.trim()), make("ul", {}, ...lines)));
}
