// Problems as the API tells them: folded, with what to do next in their own words.

import { make, plural } from "./format.js";

/** Shows `problems` (`{actor, filename, code, message}`) in a section; hides it if there are none. */
export function showProblems(section, problems) {
  const said = JSON.stringify(problems);
  if (section.dataset.said === said) return;
  section.dataset.said = said;
  section.hidden = !problems.length;
  const lines = problems.map((problem) =>
    make("li", { title: problem.code }, make("b", {}, problem.filename || problem.actor), problem.message));
  const few = problems.length <= 3;
  section.replaceChildren(make("details", { open: few ? "" : null }, make("summary", {}, plural(problems.length, "problem")), make("ul", {}, ...lines)));
}
