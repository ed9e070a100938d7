// The bits of a number as switches, fields to type into, and what Python says of them. Nothing is computed here.

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

function render({ model, el }) {
  const send = (message) => model.send(message);
  const entry = (name, label) => {
    const input = element("input", {
      type: "text", class: name, spellcheck: "false", autocomplete: "off",
      onkeydown: (event) => {
        event.stopPropagation(); // Lab's own shortcuts
        if (event.key === "Enter") submit();
        if (event.key === "Escape") show();
      },
      onchange: () => submit(),
    });
    const submit = () => {
      if (input.value === model.get("state")[name] && !model.get("state").message) return;
      send({ do: name, text: input.value });
    };
    return [element("label", {}, label, input), input];
  };
  const [numberLabel, number] = entry("number", "Number: decimal, 1/3, inf, nan");
  const [codeLabel, code] = entry("code", "Bits: 0x..., 0b...");
  const stepper = (label, by) =>
    element("button", { type: "button", class: "step", onclick: () => send({ do: "step", by }) }, label);
  const down = stepper("Next below", -1), up = stepper("Next above", 1);
  const fields = element("div", { class: "fields", role: "group", "aria-label": "Bits" });
  const message = element("div", { class: "message", role: "alert" });
  const readings = element("div", { class: "readings" });
  const spoken = element("div", { class: "spoken", role: "status" }); // the value alone, for screen readers
  const root = element("div", { class: "labkit-bits" },
    element("div", { class: "entries" }, numberLabel, codeLabel, down, up), fields, message, readings, spoken);
  el.append(root);
  let bits = [], current = 0, shape = "";

  const focusBit = (place) => {
    current = Math.max(0, Math.min(bits.length - 1, place));
    bits.forEach((bit, i) => { bit.tabIndex = i === current ? 0 : -1; });
    bits[current].focus();
  };
  const onKey = (event, place) => {
    const go = { ArrowLeft: place - 1, ArrowRight: place + 1, Home: 0, End: bits.length - 1 }[event.key];
    if (go !== undefined) focusBit(go);
    else if (event.key === "0" || event.key === "1") {
      send({ do: "bit", place, value: Number(event.key) });
      focusBit(place + 1);
    } else if (event.key !== " " && event.key !== "Enter") return;
    event.stopPropagation();
    if (event.key !== " " && event.key !== "Enter") event.preventDefault(); // these two click the button
  };

  function build(state) { // switches for another format
    shape = JSON.stringify(state.bits.map((bit) => bit.field));
    bits = [];
    fields.replaceChildren();
    fields.classList.toggle("many", state.bits.length > 32);
    for (const field of [...new Set(state.bits.map((bit) => bit.field))]) {
      const row = element("div", { class: "row" });
      state.bits.forEach((bit, place) => {
        if (bit.field !== field) return;
        bits[place] = element("button", {
          type: "button", class: "bit", role: "switch", onkeydown: (event) => onKey(event, place),
          onclick: () => { focusBit(place); send({ do: "bit", place }); },
        });
        row.append(bits[place]);
      });
      const colour = state.colours[field];
      fields.append(element("div", { class: "field", style: `--field: ${colour}` }, element("span", {}, field), row));
    }
    current = Math.min(current, bits.length - 1);
    bits.forEach((bit, i) => { bit.tabIndex = i === current ? 0 : -1; });
  }

  function show() {
    const state = model.get("state");
    if (JSON.stringify(state.bits.map((bit) => bit.field)) !== shape) build(state);
    state.bits.forEach(({ value, field, weight }, place) => {
      bits[place].textContent = value;
      bits[place].setAttribute("aria-checked", value ? "true" : "false");
      bits[place].setAttribute("aria-label", `bit ${place + 1} of ${bits.length}, ${field}: ${weight}`);
      bits[place].title = weight;
    });
    if (!state.message || state.wrong !== "number") number.value = state.number; // else somebody mends what was wrong
    if (!state.message || state.wrong !== "code") code.value = state.code;
    number.setAttribute("aria-invalid", String(Boolean(state.message) && state.wrong === "number"));
    code.setAttribute("aria-invalid", String(Boolean(state.message) && state.wrong === "code"));
    down.disabled = !state.canStep[0];
    up.disabled = !state.canStep[1];
    message.textContent = state.message;
    message.classList.toggle("wrong", Boolean(state.message));
    spoken.textContent = state.spoken;
    readings.replaceChildren(...state.readings.flatMap(([label, text]) => [
      element("div", { class: "label" }, label),
      element("div", { class: "text", "data-reading": label, tabindex: text.length > 400 ? 0 : null }, text)]));
  }
  model.on("change:state", show);
  show();
  return () => model.off("change:state", show);
}

export default { initialize, render }; // initialize: heard.py
