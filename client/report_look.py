"""The style of a page, and the script that draws its plots in the page's colours."""

STYLE = """
:root { --back: #ffffff; --card: #f6f7f9; --text: #1b1f24; --soft: #5b6470; --line: #d9dde3; --accent: #2467b3;
  --good: #1f7a45; --bad: #b3372f; --warn: #8f5a0a; }
@media screen and (prefers-color-scheme: dark) { :root { --back: #14171b; --card: #1d2127; --text: #e6e9ed;
  --soft: #a0a9b4; --line: #363d46; --accent: #79b2f2; --good: #6cc992; --bad: #f08f88; --warn: #e0b062; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 20px 20px 40px; }
h1 { font-size: 1.55rem; line-height: 1.25; margin: 0 0 6px; overflow-wrap: anywhere; }
h2 { font-size: 1.18rem; margin: 0 0 10px; }
h3 { font-size: .95rem; margin: 16px 0 4px; color: var(--soft); }
p, ul { margin: 6px 0; overflow-wrap: anywhere; }
ul { padding-left: 20px; }
section { border-top: 1px solid var(--line); padding: 20px 0 12px; }
a { color: var(--accent); }
.soft, footer, figcaption, noscript { color: var(--soft); font-size: .88rem; }
.words { white-space: pre-wrap; }
.chips { display: flex; flex-wrap: wrap; gap: 6px; margin: 10px 0; }
.chips span { border: 1px solid var(--line); border-radius: 999px; padding: 1px 11px; font-size: .88rem;
  overflow-wrap: anywhere; }
.chips .good, .good { color: var(--good); border-color: currentColor; }
.chips .bad, .bad { color: var(--bad); border-color: currentColor; }
.chips .warn, .warn { color: var(--warn); border-color: currentColor; }
.chips .good, .chips .bad, .chips .warn { font-weight: 600; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 10px; margin: 14px 0 6px; }
.tile { background: var(--card); border-radius: 8px; padding: 10px 12px; min-width: 0; }
.tile b { display: block; font-size: 1.3rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.tile span { display: block; color: var(--soft); font-size: .82rem; }
.missing { background: var(--card); border-left: 3px solid var(--warn); padding: 8px 12px; }
.scrolls { overflow-x: auto; margin: 8px 0; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: 4px 14px 4px 0; border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--soft); }
.facts td { overflow-wrap: anywhere; }
.facts th { max-width: 320px; }
.grid td:not(:first-child), .grid th:not(:first-child) { text-align: right; white-space: nowrap; }
.board td, .board th { white-space: nowrap; }
.board th button { all: unset; cursor: pointer; color: inherit; font: inherit; }
.board th button:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.board th[aria-sort=ascending] button::after { content: " \\25B2"; }
.board th[aria-sort=descending] button::after { content: " \\25BC"; }
pre { background: var(--card); border-radius: 8px; padding: 12px; overflow-x: auto; font-size: .84rem;
  line-height: 1.45; margin: 8px 0; }
pre.line { white-space: pre-wrap; overflow-wrap: anywhere; }
.plot { width: 100%; }
.narrow { max-width: 620px; }
main:has(.board) { max-width: 1400px; }
.board .figure { text-align: right; }
.small-plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 310px), 1fr)); gap: 14px 22px; }
figure { margin: 0; min-width: 0; }
footer { border-top: 1px solid var(--line); padding-top: 12px; margin-top: 12px; overflow-wrap: anywhere; }
@media (max-width: 480px) { main { padding: 14px 12px 30px; } body { font-size: 15px; }
  .facts th { max-width: 130px; } th, td { padding-right: 10px; } }
@media print { main { max-width: none; padding: 0; } section { break-inside: auto; } h2, h3 { break-after: avoid; }
  .plot, figure, tr, .tile { break-inside: avoid; } pre { white-space: pre-wrap; overflow-wrap: anywhere; }
  .scrolls { overflow: visible; } .board td, .board th { white-space: normal; } }
"""

PAINT = """
"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const print = matchMedia("print"), dark = matchMedia("(prefers-color-scheme: dark)");
  const coarse = matchMedia("(pointer: coarse)").matches;
  const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const look = layout => {
    const text = colour("--text"), soft = colour("--soft"), line = colour("--line"), back = colour("--back");
    const changes = {"font.color": text, "font.family": "system-ui, sans-serif", "font.size": 12,
      "hoverlabel.bgcolor": back, "hoverlabel.font.color": text, "hoverlabel.bordercolor": line};
    for (const key of Object.keys(layout)) if (/^[xy]axis[0-9]*$/.test(key)) Object.assign(changes, {
      [key + ".gridcolor"]: line, [key + ".linecolor"]: line, [key + ".zerolinecolor"]: soft,
      [key + ".tickfont.color"]: soft, [key + ".title.font.color"]: soft});
    return changes;
  };
  const every = change => { for (const name of Object.keys(figures)) change(document.getElementById(name)); };
  const paint = () => every(plot => {
    Plotly.relayout(plot, look(plot.layout));
    if (plot.data.some(trace => trace.type === "heatmap")) Plotly.restyle(plot, {"textfont.color": colour("--text")});
  });
  const put = (place, path, value) => {
    const names = path.split("."), last = names.pop();
    for (const name of names) place = place[name] = place[name] || {};
    place[last] = value;
  };
  for (const [name, figure] of Object.entries(figures)) {
    const layout = figure.layout;
    for (const axis of ["xaxis", "yaxis"]) layout[axis] = layout[axis] || {};
    for (const [path, value] of Object.entries(look(layout))) put(layout, path, value);
    for (const trace of figure.data) if (trace.type === "heatmap") put(trace, "textfont.color", colour("--text"));
    if (coarse) layout.dragmode = false;
    Plotly.newPlot(name, figure.data, layout, {responsive: true, displaylogo: false,
      displayModeBar: coarse ? false : "hover", modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"]});
  }
  dark.addEventListener("change", paint);
  print.addEventListener("change", () => { paint(); every(plot => Plotly.Plots.resize(plot)); });
})();
"""
