"use strict";
// One day for all figures: the pointer or the arrow keys choose it, every legend shows the values of that day.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  if (!data.day) return;
  const days = data.day;
  const figures = [...document.querySelectorAll("figure.panel[id]")].filter((f) => data.lines[f.id]);
  const timeline = document.querySelector(".timeline");
  let chosen = null;

  const superscript = (n) => String(n).replace(/./g, (c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]);
  const short = (value, decimals) => {
    if (value === null || value === undefined) return "–";
    if (decimals !== "") return value.toFixed(Number(decimals));
    if (value === 0) return "0";
    const exponent = Math.floor(Math.log10(Math.abs(value)));
    if (exponent < -3) return (value / 10 ** exponent).toFixed(1) + "·10" + superscript(exponent);
    return value.toFixed(Math.max(0, 2 - exponent)).replace(/\B(?=(\d{3})+(?!\d|\.))(?<!\.\d*)/g, " ");
  };
  const nearest = (day) => {
    let low = 0, high = days.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (days[middle] < day) low = middle; else high = middle;
    }
    return day - days[low] < days[high] - day ? low : high;
  };
  const position = (svg, day) => {
    const d = svg.dataset, first = Number(d.first), last = Number(d.last);
    return Number(d.left) + (day - first) / (last - first) * (Number(d.right) - Number(d.left));
  };
  const text = (day) => "day " + (day > 0 ? "+" : "") + (Math.round(day * 10) / 10);

  const show = (index) => {
    chosen = index;
    for (const figure of figures) {
      const svg = figure.querySelector("svg"), cross = svg.querySelector(".cross");
      const at = index === null ? nearest(Number(svg.dataset.last)) : index;
      const inside = index !== null && days[at] >= Number(svg.dataset.first) && days[at] <= Number(svg.dataset.last);
      cross.style.visibility = inside ? "visible" : "hidden";
      if (inside) cross.setAttribute("transform", "translate(" + position(svg, days[at]) + " 0)");
      figure.querySelector(".now").textContent = text(days[at]);
      for (const out of figure.querySelectorAll("output[data-line]"))
        out.textContent = short(data.lines[figure.id][out.dataset.line][at], out.dataset.decimals);
    }
    if (timeline) {
      const first = Number(timeline.dataset.first), last = Number(timeline.dataset.last);
      const cross = timeline.querySelector(".cross");
      cross.style.visibility = index === null ? "hidden" : "visible";
      if (index !== null) cross.style.left = 100 * (days[index] - first) / (last - first) + "%";
    }
  };
  for (const figure of figures) {
    const svg = figure.querySelector("svg");
    const follow = (event) => {
      const box = svg.getBoundingClientRect(), d = svg.dataset;
      const x = (event.clientX - box.left) / box.width * Number(d.width);
      const share = (x - Number(d.left)) / (Number(d.right) - Number(d.left));
      show(nearest(Number(d.first) + Math.min(1, Math.max(0, share)) * (Number(d.last) - Number(d.first))));
    };
    svg.addEventListener("pointermove", follow);
    svg.addEventListener("pointerdown", follow);
    svg.addEventListener("pointerleave", () => show(null));
    svg.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!move) return;
      event.preventDefault();
      show(nearest(days[chosen === null ? days.length - 1 : chosen] + move));
    });
    svg.addEventListener("blur", () => show(null));
  }
  show(null);
})();
