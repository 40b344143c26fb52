// The trajectory browser: a filtered list, and every token coloured by who wrote it.

function trajectoryReader(data) {
  const rows = data.trajectories, texts = data.texts;
  const list = document.getElementById("list"), viewer = document.getElementById("viewer");
  const state = { shown: rows.map((_, index) => index), at: -1, mode: "role", marks: false };
  const count = (row, role) => row.segments.reduce((sum, one) => sum + (!role || one.role === role ? one.ids.length : 0), 0);

  // Filters -------------------------------------------------------------------------------------------------------
  const distinct = (key) => [...new Set(rows.map((row) => row[key]))];
  const controls = {};
  function choice(name, label, options) {
    controls[name] = h("select", { onchange: filter }, options.map(([value, text]) => h("option", { value }, text)));
    return h("label", {}, label, controls[name]);
  }
  const every = (label, values) => [["", label], ...values.map((value) => [String(value), String(value)])];
  controls.text = h("input", { type: "search", placeholder: "task, answer or text", oninput: filter });
  const places = [...new Set(rows.map((row) => `${row.stage} ${row.step}`))];
  document.getElementById("filters").append(
    choice("place", "stage and step", every("all", places)),
    choice("score", "score", [["", "all"], ["solved", "solved"], ["missed", "missed"]]),
    choice("stop", "ended by", every("all", distinct("stop_reason"))),
    choice("order", "order", [["", "as stored"], ["reward", "reward"], ["advantage", "advantage"], ["length", "length"]]),
    h("label", { class: "whole" }, "contains", controls.text));

  const decoded = new Map();
  function wholeText(index) {
    if (!decoded.has(index)) {
      const row = rows[index];
      const words = row.segments.map((one) => one.ids.map((id) => texts[id]).join("")).join("");
      decoded.set(index, `${row.task_id} ${row.episode_id} ${row.answer ?? ""} ${words}`.toLowerCase());
    }
    return decoded.get(index);
  }

  function filter() {
    const { place, score, stop, order, text } = Object.fromEntries(Object.entries(controls).map(([key, one]) => [key, one.value]));
    const needle = text.toLowerCase();
    state.shown = rows.map((_, index) => index).filter((index) => {
      const row = rows[index];
      return (!place || `${row.stage} ${row.step}` === place) && (!stop || row.stop_reason === stop)
        && (!score || (score === "solved") === (row.score >= 1)) && (!needle || wholeText(index).includes(needle));
    });
    const keys = { reward: (row) => row.reward, advantage: (row) => row.advantage ?? 0, length: (row) => count(row) };
    if (order) state.shown.sort((a, b) => keys[order](rows[b]) - keys[order](rows[a]));
    drawList();
    if (!state.shown.includes(state.at)) show(state.shown[0] ?? -1);
    else mark();
  }

  function drawList() {
    list.replaceChildren(...state.shown.map((index) => {
      const row = rows[index];
      const colour = row.stop_reason === "failed" ? "var(--muted)" : row.score >= 1 ? "var(--good)" : "var(--bad)";
      return h("div", { class: "item", role: "option", "data-index": index, onclick: () => show(index, false) },
        h("span", { class: "dot", style: `background:${colour}`, title: row.score >= 1 ? "solved" : "missed" }),
        h("span", { class: "id" }, row.task_id + (row.row ? ` · row ${row.row + 1}` : "")),
        h("span", {}, `reward ${format(row.reward)}`),
        h("span", { class: "sub" }, `${row.stage} ${row.step} · ${row.stop_reason} · ${row.turns} turns · ${count(row)} tokens`));
    }));
    if (!state.shown.length) list.append(h("div", { class: "empty" }, "No trajectory fits these filters."));
  }

  function mark() {
    for (const item of list.children) {
      const chosen = Number(item.dataset.index) === state.at;
      item.setAttribute("aria-selected", String(chosen));
      if (chosen) {
        const above = item.offsetTop - list.offsetTop;
        if (above < list.scrollTop || above + item.offsetHeight > list.scrollTop + list.clientHeight) {
          list.scrollTop = above - list.clientHeight / 2;
        }
      }
    }
  }

  // The viewer ----------------------------------------------------------------------------------------------------
  const logprobs = rows.flatMap((row) => row.segments.flatMap((one) => one.logprobs ?? []));
  const lowest = logprobs.length ? logprobs.slice().sort((a, b) => a - b)[Math.floor(logprobs.length * 0.02)] : -1;
  const strongest = Math.max(1e-9, ...rows.map((row) => Math.abs(row.advantage ?? 0)));

  /** Line ends, tabs and lone spaces get a visible mark; with `marks`, every space does. */
  function visible(text) {
    const parts = [];
    for (const [piece] of text.matchAll(/\n|\t|\r|\u00a0|^ +$| |[^\n\t\r\u00a0 ]+/g)) {
      if (piece === "\n") parts.push(h("span", { class: "white" }, "↵"), "\n");
      else if (piece === "\t") parts.push(h("span", { class: "white" }, "⇥"), "\t");
      else if (piece === "\r") parts.push(h("span", { class: "white" }, "␍"));
      else if (piece.trim() === "" && state.marks) parts.push(h("span", { class: "white" }, "·".repeat(piece.length)));
      else parts.push(piece);
    }
    return parts.length ? parts : [h("span", { class: "white" }, "∅")];
  }

  function heat(row, segment, place) {
    if (segment.role !== "action") return null;
    if (state.mode === "logprob" && segment.logprobs) {
      const share = Math.min(1, segment.logprobs[place] / Math.min(lowest, -1e-6));
      return `--heat:color-mix(in oklab, var(--bad) ${Math.round(share * 62)}%, transparent)`;
    }
    if (state.mode === "advantage" && row.advantage !== null && row.trainable) {
      const share = Math.round((Math.abs(row.advantage) / strongest) * 60);
      return `--heat:color-mix(in oklab, var(${row.advantage < 0 ? "--bad" : "--good"}) ${share}%, transparent)`;
    }
    return null;
  }

  function tokenTip(row, segment, place, position) {
    const id = segment.ids[place], logprob = segment.logprobs?.[place];
    const trained = segment.role === "action" && row.trainable;
    const why = trained ? "yes" : segment.role === "action" ? "no: a filter took the row out" : `no: ${segment.role}`;
    const facts = [["token id", id], ["position", position], ["role", segment.role], ["turn", segment.turn],
      ["trained", why], ["logprob", logprob === undefined ? "–" : `${logprob.toFixed(4)}  (p ${format(Math.exp(logprob))})`],
      ["advantage", trained ? format(row.advantage) : "–"]];
    if (segment.version !== null) facts.push(["policy version", segment.version]);
    return h("div", {}, h("code", {}, JSON.stringify(texts[id])),
      h("table", {}, facts.map(([name, value]) => h("tr", {}, h("td", {}, name), h("td", {}, String(value))))));
  }

  function block(row, segment, start) {
    const trained = segment.role === "action" && row.trainable;
    const tokens = h("div", { class: "tokens" }, segment.ids.map((id, place) =>
      h("span", { class: "token", "data-place": place, style: heat(row, segment, place) ?? "" }, visible(texts[id]))));
    tokens.addEventListener("pointerover", (event) => {
      const token = event.target.closest(".token");
      if (token) {
        const place = Number(token.dataset.place);
        showTip(tokenTip(row, segment, place, start + place), event.clientX, event.clientY);
      }
    });
    tokens.addEventListener("pointerleave", hideTip);
    const name = segment.role === "prompt" ? "prompt" : `turn ${segment.turn} · ${segment.role}`;
    const note = segment.role !== "action" ? "masked" : trained ? "trained" : "masked by a filter";
    const who = [h("b", {}, name), `${segment.ids.length} tokens`, note];
    const kind = `block ${segment.role}${segment.role === "action" && !trained ? " untrained" : ""}`;
    if (segment.ids.length <= 500 || segment.role === "action") {
      return h("div", { class: kind }, h("div", { class: "who" }, who.map((one) => (typeof one === "string" ? h("span", {}, one) : one))), tokens);
    }
    return h("details", { class: kind }, h("summary", { class: "who" }, who.map((one) => (typeof one === "string" ? h("span", {}, `${one} `) : one))), tokens);
  }

  function show(index, keep = true) {
    state.at = index;
    mark();
    hideTip();
    if (index < 0) return viewer.replaceChildren(h("div", { class: "empty" }, rows.length ? "Nothing to show." : "This run has stored no trajectories yet."));
    const row = rows[index], facts = [
      ["stage", `${row.stage} step ${row.step}`], ["score", format(row.score)], ["reward", format(row.reward)],
      ["advantage", format(row.advantage)], ["ended by", row.stop_reason], ["answer", row.answer ?? "none"],
      ...Object.entries(row.reward_terms).map(([name, value]) => [name, format(value)]),
      ["tokens", `${count(row)}, of them ${row.trainable ? count(row, "action") : 0} trained`]];
    const place = state.shown.indexOf(index);
    const button = (mode, text) => h("button", { type: "button", "aria-pressed": String(state.mode === mode), onclick: () => { state.mode = mode; show(index); } }, text);
    let start = 0;
    const blocks = row.segments.map((segment) => { const one = block(row, segment, start); start += segment.ids.length; return one; });
    viewer.replaceChildren(
      h("header", {}, h("h3", {}, row.task_id), h("span", { class: "muted" }, row.episode_id),
        h("span", { class: "steps" }, h("button", { type: "button", "aria-label": "previous", onclick: () => step(-1) }, "←"), ` ${place + 1} of ${state.shown.length} `,
          h("button", { type: "button", "aria-label": "next", onclick: () => step(1) }, "→"))),
      h("div", { class: "facts" }, facts.map(([name, value]) => h("span", { class: "fact" }, h("b", {}, name), value))),
      h("div", { class: "modes" }, h("span", { class: "muted" }, "colour by"), button("role", "who wrote it"), button("logprob", "logprob"), button("advantage", "advantage"),
        h("label", {}, h("input", Object.assign({ type: "checkbox", onchange: (event) => { state.marks = event.target.checked; show(index); } }, state.marks ? { checked: "" } : {})), " show spaces")),
      legend(), h("div", { class: state.mode === "role" ? "" : "heat" }, blocks));
    if (!keep) history.replaceState(null, "", `#t=${index}`);
  }

  function legend() {
    const sample = (kind, text) => h("span", { class: kind, style: "border:0;padding:0;margin:0" }, h("span", { class: "token tokens" }, "\u2009token\u2009"), ` ${text}`);
    const parts = [sample("action", "sampled by the policy, trained"), sample("action untrained", "sampled, masked by a filter"),
      h("span", {}, h("i", { class: "swatch", style: "background:var(--prompt-edge)" }), "prompt, masked"),
      h("span", {}, h("i", { class: "swatch", style: "background:var(--observation-edge)" }), "observation, masked")];
    if (state.mode === "logprob") parts.push(h("span", {}, "probability 1", h("i", { class: "scale", style: "background:linear-gradient(90deg,transparent,color-mix(in oklab,var(--bad) 62%,transparent))" }), `logprob ${format(lowest)}`));
    if (state.mode === "advantage") parts.push(h("span", {}, `−${format(strongest)}`, h("i", { class: "scale", style: "background:linear-gradient(90deg,color-mix(in oklab,var(--bad) 60%,transparent),transparent,color-mix(in oklab,var(--good) 60%,transparent))" }), `+${format(strongest)}`));
    parts.push(h("span", {}, "keys: ← → or k j"));
    return h("div", { class: "key" }, parts);
  }

  function step(by) {
    const place = state.shown.indexOf(state.at) + by;
    if (place >= 0 && place < state.shown.length) show(state.shown[place], false);
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const by = { ArrowRight: 1, j: 1, ArrowLeft: -1, k: -1 }[event.key];
    if (by) { event.preventDefault(); step(by); }
  });

  const left_out = data.trajectories_stored - rows.length;
  document.getElementById("stored").textContent = `${rows.length} stored rows of token ids.`
    + (left_out ? ` ${left_out} more lie in the run's trajectories folder; this page takes episodes evenly over the steps.` : "")
    + " Point at a token for its id, logprob and advantage.";
  drawList();
  const wanted = Number((location.hash.match(/^#t=(\d+)$/) ?? [])[1] ?? -1);
  // First shown: the last row that was trained and read an observation; a row that a filter took out says less.
  const telling = rows.findLastIndex((row) => row.trainable && row.segments.some((one) => one.role === "observation"));
  show(rows[wanted] ? wanted : telling >= 0 ? telling : rows.length - 1);
  if (rows[wanted]) document.getElementById("episodes").scrollIntoView();
}
