// What must hold of every page of `coxswain report`, looked at from within: appended to a copy of
// the page (as the only script there), it sends the parent window a list of faults.
"use strict";
window.addEventListener("load", () => {
  const faults = [];
  const fault = (what, where) => faults.push(what + (where ? ": " + where : ""));
  const short = (e) => (e.textContent || e.tagName).trim().replace(/\s+/g, " ").slice(0, 60);
  const box = (e) => e.getBoundingClientRect();
  const meet = (a, b) =>
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
  const within = (a, b) =>
    a.left >= b.left - 1 && a.right <= b.right + 1 && a.top >= b.top - 1 && a.bottom <= b.bottom + 1;
  const all = (e, s) => [...e.querySelectorAll(s)];
  all(document, "details").forEach((d) => (d.open = true));

  // drawings: no text on text or on a mark, nothing outside, axes named, numbers everywhere
  for (const svg of all(document, "svg")) {
    const name = svg.getAttribute("aria-label") || "";
    const texts = all(svg, "text").map((e) => ({ e, b: box(e) }));
    const empty = texts.some((t) => t.e.textContent.startsWith("no values"));
    if (!name) fault("a drawing without a name");
    if (/NaN|Infinity|undefined|="[^"]*\binf\b/i.test(svg.outerHTML.replace(/>[^<]*</g, "><")))
      fault("no number in", name);
    texts.forEach((t, i) => {
      if (!t.e.textContent.trim()) fault("an empty text in", name);
      if (!within(t.b, box(svg))) fault("a text outside of " + name, short(t.e));
      for (const u of texts.slice(i + 1))
        if (meet(t.b, u.b)) fault("texts overlap in " + name, short(t.e) + " | " + short(u.e));
      for (const m of all(svg, "circle, .whisker, line.line, line.reference, .event"))
        if (meet(t.b, box(m))) fault("a mark lies on a text in " + name, short(t.e));
    });
    for (const m of all(svg, "path, circle, line"))
      if (!within(box(m), box(svg))) fault("a mark outside of", name);
    for (const p of all(svg, "path"))
      if (!empty && !p.getAttribute("d") && !p.classList.contains("faint") && !p.classList.contains("band"))
        fault("a line without points in", name);
    if (all(svg, "text.label").length < 2) fault("axes without titles in", name);
    if (!empty && all(svg, "text.tick").length < 2) fault("axes without ticks in", name);
    const figure = svg.closest("figure");
    if (!figure) fault("a drawing outside of a figure", name);
    else if (!empty && all(figure, "tbody tr").length < 1) fault("no table below", name);
  }
  for (const f of all(document, "figure")) {
    const b = f.querySelector("figcaption b");
    if (!b || !b.textContent.trim()) fault("a figure without a title");
    if (all(f, "svg").length !== 1) fault("a figure without a drawing", short(f));
  }

  // tables: whole rows, no cell cut
  for (const t of all(document, "table")) {
    const n = all(t, "thead th").length;
    for (const r of all(t, "tbody tr"))
      if (r.children.length !== n) fault("a row of " + r.children.length + " cells under " + n, short(t));
    for (const c of all(t, "td, th"))
      if (c.scrollWidth > c.clientWidth + 1) fault("a cell is cut", short(c));
  }

  // the page: no wider than the window, blocks below each other, links that lead somewhere
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth + 1) fault("the page is wider than the window");
  if (window.CHECK_PAPER)
    for (const e of all(document, "table, svg"))
      if (box(e).right > root.clientWidth + 1) fault("cut on paper", short(e));
  for (const parent of [document.body, ...all(document, "section, .grid2, .facts, details, figure")]) {
    const kids = [...parent.children].filter((k) => k.tagName !== "SCRIPT" && box(k).height > 0);
    kids.forEach((k, i) => {
      for (const l of kids.slice(i + 1)) if (meet(box(k), box(l))) fault("blocks overlap", short(k) + " | " + short(l));
    });
  }
  for (const a of all(document, "a")) {
    const to = a.getAttribute("href") || "";
    if (!to.startsWith("#") || !document.getElementById(to.slice(1))) fault("a link that leads nowhere", to);
  }
  if (all(document, "script").length !== 1 || all(document, "link, img, iframe, object, [src], [onload]").length)
    fault("a script, or something that is loaded");
  if (!all(document, "h1").length || !document.querySelector(".lead") || !all(document, "h2").length)
    fault("no title, summary or sections");

  // contrast of text with its ground (WCAG 2: 4.5), where a color is a plain one
  const parts = (c) => (c.match(/^rgb\((\d+), (\d+), (\d+)\)$/) || []).slice(1).map(Number);
  const light = (c) => {
    const [r, g, b] = c.map((v) => ((v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = parts(getComputedStyle(document.body).backgroundColor);
  if (ground.length !== 3) fault("the page has no ground");
  for (const e of all(document, "h1, h2, h3, p, th, td, caption, figcaption, summary, dt, dd, text")) {
    const style = getComputedStyle(e), c = parts(e.tagName === "text" ? style.fill : style.color);
    const [a, b] = [light(c), light(ground)].sort((x, y) => y - x);
    if (c.length !== 3 || (a + 0.05) / (b + 0.05) < 4.5) fault("too little contrast", short(e));
  }
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  if (!window.CHECK_PAPER && dark !== light(ground) < 0.5) fault("the page does not follow the color scheme");
  const unique = [...new Set(faults)];
  parent.postMessage({ page: document.title, width: innerWidth, dark, drawings: all(document, "svg").length,
    faults: unique.slice(0, 20).concat(unique.length > 20 ? ["and " + (unique.length - 20) + " more"] : []) }, "*");
});
