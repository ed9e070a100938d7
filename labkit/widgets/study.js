// Draws a quiz, flashcards, a summary or a check from model.get("state"), and sends what somebody does.
// Nothing is judged here: the page does not know the answers.

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "html") made.innerHTML = value; // made by labkit.widgets.markup, which escapes all text
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

const button = (text, onclick, attributes = {}) => element("button", { type: "button", onclick, ...attributes }, text);
const number = (value) => String(Math.round(value * 100) / 100);
const FIRST = "input:not(:disabled), .moves button:not(:disabled), .main"; // where an answer begins
let count = 0; // of groups of radio buttons on this page

// -- quiz -------------------------------------------------------------------------------------------

function drawQuiz(root, state, local, model, redraw) {
  const total = state.questions.length;
  const right = state.answers.filter((answer) => answer?.status === "passed").length;
  local.current = Math.min(local.current ?? 0, total); // total: the last page, with the result
  const go = (index, focus) => redraw({ current: index, focus, dismissed: false });

  const steps = element("div", { class: "steps", role: "group", "aria-label": "Questions" });
  state.questions.forEach((question, index) => {
    const status = state.answers[index]?.status;
    const word = { passed: "right", incorrect: "not right yet" }[status] ?? "open";
    steps.append(button(String(index + 1), () => go(index, ".steps [aria-current]"), {
      class: `step ${word.split(" ")[0]}`, "aria-label": `Question ${index + 1}, ${word}`, title: word,
      "aria-current": index === local.current ? "true" : null,
    }));
  });
  const score = `${number(state.points)} of ${number(state.max)} points` + (state.best > state.points ? `, best ${number(state.best)}` : "");
  root.append(element("div", { class: "head" },
    element("div", { class: "title" }, `Questions: ${state.title}`), steps, element("div", { class: "score" }, score)));

  if (local.current === total) {
    const words = right === total ? "All questions are answered right." : `${right} of ${total} questions are answered right.`;
    root.append(element("div", { class: "body" }, element("p", {}, element("strong", {}, `${words} ${score}.`)),
      element("p", {}, "A wrong answer halves what the question is worth. The best result of each question is kept.")));
    root.append(element("div", { class: "actions" },
      button("Back", () => go(total - 1, ".main"), {}),
      button("Take the quiz again", () => { local.given = {}; model.send({ do: "restart" }); go(0, FIRST); }, { class: "main" })));
    return;
  }

  const index = local.current, question = state.questions[index], answer = state.answers[index];
  const done = answer?.status === "passed";
  if (local.focus === ".main" && answer?.status === "not attempted") local.focus = FIRST;
  local.given ??= {};
  const asAnswered = () => JSON.stringify(answer?.given) === JSON.stringify(local.given[index]);
  const wrongNow = () => answer?.status === "incorrect" && !local.dismissed && asAnswered();
  const send = () => {
    const given = local.given[index];
    if (given === undefined || given === "") return;
    Object.assign(local, { focus: ".main", dismissed: false });
    model.send({ do: "answer", question: index, given });
  };
  const again = () => {
    if (question.kind === "choice") delete local.given[index];
    redraw({ dismissed: true, focus: "input:not(:disabled), .moves button:not(:disabled)" });
  };
  const act = () => (wrongNow() ? again() : send());
  const enter = (event) => { if (event.key === "Enter" && !done) { event.preventDefault(); act(); } };

  const main = done
    ? button(index + 1 < total ? "Next question" : "Result", () => go(index + 1, FIRST), { class: "main" })
    : button("Check", act, { class: "main" });
  const feedback = element("div", { class: "feedback", role: "status", "aria-live": "polite" });
  if (answer) {
    const [kind, word] = { passed: ["right", "Right."], incorrect: ["wrong", "Not right."] }[answer.status] ?? ["open", "No answer yet."];
    const points = done ? ` ${number(answer.points)} of ${number(question.points)} points.` : "";
    feedback.classList.add(kind);
    feedback.append(element("strong", {}, word + points), element("div", { html: answer.html }));
  }
  const changed = () => { // without drawing anew: somebody may be typing
    if (!done) main.textContent = wrongNow() ? "Try again" : "Check";
    feedback.hidden = !answer || (!done && (local.dismissed || (local.given[index] !== undefined && !asAnswered())));
  };

  const body = element("div", { class: "body" }, element("div", { class: "text", html: question.html }));
  if (question.kind === "choice") body.append(choices(question, index, state, local, done, enter, changed));
  if (question.kind === "number") body.append(numberField(question, index, answer, local, done, enter, changed));
  if (question.kind === "order") body.append(orderList(question, index, answer, local, done, redraw));
  root.append(body, feedback, element("div", { class: "actions" },
    button("Back", () => go(index - 1, ".main"), { disabled: index === 0 }), main,
    done ? null : button(index + 1 < total ? "Skip" : "Result", () => go(index + 1, FIRST))));
  changed();
}

function choices(question, index, state, local, done, onkeydown, changed) {
  const name = `labkit-choice-${count++}`;
  const group = element("div", { class: "choices", role: "radiogroup", "aria-label": "Choices" });
  question.options.forEach((html, place) => {
    const wrong = state.tried[index].includes(place);
    const chosen = done ? state.answers[index].given === place : local.given[index] === place;
    const input = element("input", {
      type: "radio", name, value: place, checked: chosen, disabled: done || (wrong && !chosen), onkeydown,
      onchange: () => { local.given[index] = place; changed(); },
    });
    const kind = done && chosen ? "right" : wrong ? "wrong" : "";
    group.append(element("label", { class: `choice ${kind}` }, input, element("span", { html }),
      wrong && !done ? element("span", { class: "tag" }, "tried") : null));
  });
  return group;
}

function numberField(question, index, answer, local, done, onkeydown, changed) {
  const value = done ? answer.given : local.given[index] ?? "";
  const input = element("input", {
    type: "text", class: "number", value, disabled: done, autocomplete: "off", spellcheck: "false", onkeydown,
    "aria-label": `Your answer${question.unit ? ` in ${question.unit}` : ""}`, placeholder: "a number",
    oninput: (event) => { local.given[index] = event.target.value; changed(); },
  });
  return element("div", { class: "number-row" }, input, element("span", {}, question.unit));
}

function orderList(question, index, answer, local, done, redraw) {
  const order = done && Array.isArray(answer.given) ? answer.given : (local.given[index] ??= question.options.map((_, place) => place));
  const list = element("ol", { class: "order" });
  const move = (from, to) => {
    const changed = [...order];
    changed.splice(to, 0, changed.splice(from, 1)[0]);
    local.given[index] = changed;
    const way = to < from ? ".up" : ".down";
    const other = to === 0 ? ".down" : to === order.length - 1 ? ".up" : way;
    redraw({ focus: `.order li:nth-child(${to + 1}) ${other}` });
  };
  order.forEach((place, at) => {
    const onkeydown = (event) => {
      const to = at + ({ ArrowUp: -1, ArrowDown: 1 }[event.key] ?? 0);
      if (to !== at) { event.preventDefault(); if (to >= 0 && to < order.length) move(at, to); }
    };
    const moves = done ? null : element("span", { class: "moves" },
      button("\u25b2", () => move(at, at - 1), { class: "up", disabled: at === 0, "aria-label": `Move step ${at + 1} up`, onkeydown }),
      button("\u25bc", () => move(at, at + 1), { class: "down", disabled: at === order.length - 1, "aria-label": `Move step ${at + 1} down`, onkeydown }));
    list.append(element("li", {}, element("span", { class: "place" }, `${at + 1}.`), element("span", { class: "what", html: question.options[place] }), moves));
  });
  return list;
}

// -- flashcards -------------------------------------------------------------------------------------

function drawFlashcards(root, state, local, model, redraw) {
  const bar = element("div", { class: "boxes", role: "img", "aria-label": `${state.known} of ${state.total} cards known` });
  state.boxes.forEach((cards, box) => {
    if (cards) bar.append(element("span", { class: `box box-${box}`, style: `flex-grow: ${cards}`, title: box ? `${cards} in box ${box}` : `${cards} not known yet` }));
  });
  root.append(element("div", { class: "head" }, element("div", { class: "title" }, `Flashcards: ${state.title}`),
    element("div", { class: "score" }, `${state.known} of ${state.total} known`)), bar);
  if (!state.card) {
    root.append(element("div", { class: "body" }, element("p", {}, element("strong", {}, "This round is over."),
      " Cards that you know well come back less often in the next ones.")));
    root.append(element("div", { class: "actions" }, button("Next round", () => { local.turned = null; local.focus = ".card"; model.send({ do: "begin" }); }, { class: "main" })));
    return;
  }
  const term = state.card.term, turned = local.turned === term;
  const tell = (what) => { local.turned = null; local.focus = ".card"; model.send({ do: what, term }); };
  const turn = () => redraw({ turned: turned ? null : term, focus: turned ? ".card" : ".known" });
  root.addEventListener("keydown", local.keys = (event) => {
    if (turned && event.key === "1") tell("again");
    if (turned && event.key === "2") tell("known");
  });
  root.append(button("", turn, { class: `card ${turned ? "turned" : ""}`, "aria-expanded": String(turned) }));
  const card = root.querySelector(".card");
  card.append(element("span", { class: "front", html: state.card.front }),
    turned ? element("span", { class: "back", html: state.card.back }) : element("span", { class: "prompt" }, "What is it? Say it, then turn the card."));
  root.append(element("div", { class: "actions" },
    turned ? button("Again (1)", () => tell("again"), { class: "again" }) : null,
    turned ? button("I knew it (2)", () => tell("known"), { class: "main known" }) : button("Turn", turn, { class: "main" }),
    element("span", { class: "left" }, `${state.left} ${state.left === 1 ? "card" : "cards"} left in this round`)));
}

// -- summary ----------------------------------------------------------------------------------------

function drawSummary(root, state, local, model, redraw) {
  const at = local.level ?? 0;
  const tabs = element("div", { class: "tabs", role: "tablist", "aria-label": "Level" });
  state.levels.forEach(({ name }, index) => tabs.append(button(name, () => redraw({ level: index, focus: ".tabs [aria-selected=true]" }), {
    role: "tab", "aria-selected": String(index === at), tabindex: index === at ? 0 : -1,
    onkeydown: (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) redraw({ level: (at + step + state.levels.length) % state.levels.length, focus: ".tabs [aria-selected=true]" });
    },
  })));
  root.append(element("div", { class: "head" }, element("div", { class: "title" }, `Summary: ${state.title}`), tabs),
    element("div", { class: "body text", role: "tabpanel", html: state.levels[at].html }));
}

// ---------------------------------------------------------------------------------------------------

const DRAW = { quiz: drawQuiz, flashcards: drawFlashcards, summary: drawSummary, check: drawCheck }; // drawCheck: check.js

export default {
  initialize, // heard.py
  render({ model, el }) {
    const local = {}; // what this view alone knows: the question on top, what is chosen but not sent
    // Lab takes keys that no editor has the focus of for its own commands.
    const root = element("section", { class: "labkit-study", "data-lm-suppress-shortcuts": "true", tabindex: "-1" });
    const draw = (changes = {}) => {
      Object.assign(local, changes);
      if (local.keys) root.removeEventListener("keydown", local.keys);
      local.keys = null;
      const state = model.get("state");
      root.replaceChildren();
      DRAW[state.kind](root, state, local, model, draw);
      if (state.problem) root.append(element("div", { class: "problem", role: "alert" }, state.problem));
      if (local.focus) (root.querySelector(local.focus) ?? root).focus({ preventScroll: true });
      local.focus = null;
    };
    const onChange = () => draw();
    model.on("change:state", onChange);
    el.append(root);
    draw();
    return () => {
      model.off("change:state", onChange);
      endCheck(local);
    };
  },
};
