"use strict";
// The page works without this script. It adds zoom over all charts, a filter of the jobs, selection by click, and copying.
(() => {
  const WIDTH = 1000;
  const all = (selector, inside = document) => Array.from(inside.querySelectorAll(selector));

  // --- zoom: each chart shows [from, to] of its WIDTH units
  const lanes = document.querySelector("[data-span]");
  const view = { from: 0, to: WIDTH };
  const zoomed = all("svg.zoom");
  const placed = all("svg.chart > text[data-x]").map((text) => ({ text, x: Number(text.dataset.x), axis: text.parentNode.matches(".axis") }));
  const axes = all("svg.axis");

  const tickStep = (units) => {
    const least = (units * lanes.dataset.span) / WIDTH / 1000 / 9;
    const power = 10 ** Math.floor(Math.log10(least));
    return [1, 2, 5, 10].map((n) => n * power).find((step) => step >= least);
  };
  const ticks = () => {
    const zero = Number(lanes.dataset.zero) / 1000, span = Number(lanes.dataset.span) / 1000;
    const seconds = (x) => (x / WIDTH) * span - zero;
    const step = tickStep(view.to - view.from);
    const digits = Math.max(0, -Math.floor(Math.log10(step)));
    for (const axis of axes) {
      axis.replaceChildren();
      for (let n = Math.ceil(seconds(view.from) / step); n * step <= seconds(view.to); n++) {
        const text = document.createElementNS("http://www.w3.org/2000/svg", "text");
        const x = ((n * step + zero) / span) * WIDTH;
        text.setAttribute("x", `${((x - view.from) / (view.to - view.from)) * 100}%`);
        text.setAttribute("y", "13");
        text.setAttribute("text-anchor", "middle");
        text.textContent = `${(n * step).toFixed(digits)} s`;
        axis.append(text);
      }
    }
  };
  const draw = () => {
    const units = view.to - view.from;
    for (const svg of zoomed) svg.setAttribute("viewBox", `${view.from} 0 ${units} ${svg.dataset.height}`);
    for (const { text, x, axis } of placed) {
      if (axis) continue;
      const percent = ((x - view.from) / units) * 100;
      text.setAttribute("x", `${percent}%`);
      text.style.visibility = percent < -0.01 || percent > 100.01 ? "hidden" : "visible";
    }
    ticks();
  };
  const show = (from, to) => {
    const units = Math.min(Math.max(to - from, 0.05), WIDTH);
    view.from = Math.min(Math.max(from, 0), WIDTH - units);
    view.to = view.from + units;
    draw();
  };
  const zoom = {
    in: () => show(view.from + (view.to - view.from) / 4, view.to - (view.to - view.from) / 4),
    out: () => show(view.from - (view.to - view.from) / 2, view.to + (view.to - view.from) / 2),
    left: () => show(view.from - (view.to - view.from) / 3, view.to - (view.to - view.from) / 3),
    right: () => show(view.from + (view.to - view.from) / 3, view.to + (view.to - view.from) / 3),
    all: () => show(0, WIDTH),
  };
  const near = (button) => {
    const from = Number(button.dataset.from), to = Number(button.dataset.to);
    const margin = Math.max((to - from) / 4, WIDTH / 40);
    show(from - margin, to + margin);
  };
  if (lanes) {
    for (const button of all("button[data-zoom]")) {
      button.addEventListener("click", () => (zoom[button.dataset.zoom] || (() => near(button)))());
    }
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea, select")) return;
      const action = { "+": zoom.in, "=": zoom.in, "-": zoom.out, 0: zoom.all }[event.key];
      if (action) action();
    });
    for (const chart of all("svg.chart")) {
      let begin = null, rectangle = null;
      const at = (event) => {
        const box = chart.getBoundingClientRect();
        const part = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
        return view.from + part * (view.to - view.from);
      };
      chart.addEventListener("pointerdown", (event) => {
        if (event.button !== 0 || event.pointerType === "touch") return;
        begin = at(event);
      });
      chart.addEventListener("pointermove", (event) => {
        if (begin === null) return;
        if (!rectangle && Math.abs(at(event) - begin) > (view.to - view.from) / 200) {
          rectangle = document.createElementNS("http://www.w3.org/2000/svg", "rect");
          rectangle.setAttribute("class", "selecting");
          rectangle.setAttribute("y", "0");
          rectangle.setAttribute("height", "100%");
          chart.querySelector("svg.zoom")?.append(rectangle);
          chart.setPointerCapture(event.pointerId);
        }
        if (rectangle) {
          rectangle.setAttribute("x", String(Math.min(begin, at(event))));
          rectangle.setAttribute("width", String(Math.abs(at(event) - begin)));
        }
      });
      chart.addEventListener("pointerup", (event) => {
        if (rectangle) show(Math.min(begin, at(event)), Math.max(begin, at(event)));
        rectangle?.remove();
        begin = rectangle = null;
      });
      chart.addEventListener("pointercancel", () => {
        rectangle?.remove();
        begin = rectangle = null;
      });
    }
  }

  // --- a click on a mark selects its job, as the links of the table do
  document.addEventListener("click", (event) => {
    const job = event.target.closest?.("[data-job]")?.dataset.job;
    if (job && document.getElementById(job)) location.hash = job;
  });

  // --- filter of a table
  for (const input of all("input[data-filter]")) {
    const table = document.getElementById(input.dataset.filter);
    const rows = all("tbody tr", table).map((row) => ({ row, text: row.textContent.toLowerCase() }));
    const count = document.querySelector(`[data-count="${input.dataset.filter}"]`);
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const { row, text } of rows) {
        row.hidden = !words.every((word) => text.includes(word));
        shown += !row.hidden;
      }
      count.textContent = words.length ? `${shown} of ${rows.length}` : "";
    });
  }

  // --- copy a command
  for (const pre of all("pre.command")) {
    if (!navigator.clipboard) break;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(pre.querySelector("code").textContent);
      button.textContent = "copied";
    });
    pre.append(button);
  }

  for (const part of all(".tools[hidden]")) part.hidden = false;
})();
