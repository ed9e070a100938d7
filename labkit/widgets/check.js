// -- check ------------------------------------------------------------------------------------------
// Part of study.js: drawn by the same code, in the same style.

const pre = (text, name = "") => element("pre", { class: name, tabindex: 0 }, element("code", {}, text));
const part = (label, ...children) => element("div", { class: "part" }, element("div", { class: "label" }, label), ...children);

function drawCheck(root, state, local, model, redraw) {
  const verdict = state.verdict;
  const tone = verdict?.tone ?? "none";
  const word = verdict?.status ?? (state.running ? "checking" : "not checked");
  root.append(element("div", { class: "head" },
    element("span", { class: `badge ${tone}` }, word),
    element("div", { class: "title" }, state.title),
    verdict ? element("div", { class: "score" }, `${number(verdict.points)} of ${number(verdict.maxPoints)} points`) : null));
  if (!verdict) {
    if (state.running) root.append(checkProgress(state));
    return;
  }

  root.append(element("div", { class: `feedback verdict ${tone}`, role: "status" }, verdict.message));
  if (verdict.case) root.append(part("Smallest failing case", element("div", {}, verdict.case)));
  if (verdict.rows.length) {
    const table = element("div", { class: "values", tabindex: 0, role: "group", "aria-label": "Values" });
    for (const [label, value] of verdict.rows) table.append(element("span", { class: "label" }, label), element("code", {}, value));
    root.append(part(verdict.where ? `Values on ${verdict.where}` : "Values", table));
  }
  if (verdict.details) {
    const details = pre(verdict.details, verdict.isProse ? "prose" : "");
    root.append(part(verdict.isProse ? "Who waits for whom" : "Where", details));
    if (!verdict.isProse) requestAnimationFrame(() => { details.scrollTop = details.scrollHeight; }); // a traceback ends where it happened
  }
  if (verdict.lines.length) {
    const width = Math.max(...verdict.lines.map(([line]) => String(line).length));
    const text = verdict.lines.map(([line, code]) => `${String(line).padStart(width)}  ${code}`).join("\n");
    root.append(part(verdict.lines.length > 1 ? "Lines of your answer" : "Line of your answer", pre(text)));
  }
  if (verdict.slip) root.append(part("Likely slip", element("div", { html: verdict.slip })));
  if (verdict.cost) root.append(part("Cost", element("div", {}, verdict.cost)));

  const hints = verdict.tone === "right" ? [] : state.hints;
  hints.forEach((html, index) => root.append(element("div", { class: "hint" },
    element("div", { class: "label" }, `Hint ${index + 1} of ${state.numHints}`), element("div", { html }))));

  const next = state.hints.length + 1;
  const open = local.timeline ?? verdict.timeline === "open";
  const actions = [
    verdict.tone !== "right" && next <= state.numHints
      ? button(`Hint ${next} of ${state.numHints}`, () => { local.focus = ".hint-button"; model.send({ do: "hint" }); }, { class: "main hint-button" }) : null,
    verdict.timeline
      ? button(open ? "Hide the timeline" : "Timeline of this case", () => redraw({ timeline: !open, focus: ".timeline-button" }),
        { class: "timeline-button", "aria-expanded": String(open) }) : null,
  ].filter(Boolean);
  if (actions.length) root.append(element("div", { class: "actions" }, ...actions));
  if (open && verdict.timeline) root.append(checkTimeline(state, local, model));
  root.append(element("div", { class: "small" }, checkNotes(verdict)));
}

function checkProgress({ done, cases }) {
  const text = cases ? `Case ${Math.min(done + 1, cases)} of ${cases}` : "The answer is started";
  const bar = element("progress", { "aria-label": "Progress", max: cases || 1, ...(cases ? { value: done } : {}) });
  return element("div", { class: "running" }, bar, element("span", { class: "score" }, text));
}

function checkNotes({ numPassed, numCases, seconds, sandbox }) {
  if (!sandbox) return "The answer was not run.";
  return `${numPassed} of ${numCases} cases pass. Checked in ${number(seconds)} s, confined by ${sandbox}.`;
}

// The figure is a widget of its own. It is asked for when it is first looked at, and drawn once.
function checkTimeline(state, local, model) {
  local.figure ??= element("div", { class: "figure" }, "The timeline is drawn.");
  if (!state.figure && !local.asked) {
    local.asked = true;
    model.send({ do: "timeline" });
  } else if (state.figure && !local.view) {
    local.view = model.widget_manager.get_model(state.figure).then((child) => model.widget_manager.create_view(child));
    local.view.then((view) => {
      local.figure.replaceChildren(view.el);
      requestAnimationFrame(() => globalThis.dispatchEvent(new Event("resize"))); // it has a width now
    }, (error) => { local.figure.textContent = `The timeline cannot be drawn: ${error.message}`; });
  }
  return local.figure;
}

function endCheck(local) {
  local.view?.then((view) => view.remove(), () => {});
}
