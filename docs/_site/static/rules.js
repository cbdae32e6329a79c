/* A filter above the rules: by words, level, and MUST or SHOULD. Without scripts, the page shows all rules. */
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const page = document.getElementById("conformance-rules");
  if (!page) return;
  const rules = [...page.querySelectorAll(":scope > section li")];
  const levels = new Map(rules.map((rule) => [rule, rule.querySelector("em").textContent]));

  const form = document.createElement("form");
  form.className = "rule-filter";
  form.setAttribute("role", "search");
  form.setAttribute("aria-label", "Filter the rules");
  form.innerHTML = `
    <label>Words <input type="search" name="words" autocomplete="off" placeholder="top_n, score, key …"></label>
    <label>Level <select name="level"><option value="">all</option></select></label>
    <label>MUST or SHOULD <select name="force"><option value="">all</option><option>MUST</option><option>SHOULD</option></select></label>
    <output role="status"></output>`;
  for (const level of new Set(levels.values())) form.elements.level.add(new Option(level));
  // the address keeps the choice, so that a filtered page can be linked to
  const chosen = new URLSearchParams(location.search);
  for (const name of ["words", "level", "force"]) {
    if (chosen.get(name)) form.elements[name].value = chosen.get(name);
  }
  page.querySelector(":scope > section").before(form);

  const apply = () => {
    const words = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const { level, force } = Object.fromEntries(["level", "force"].map((name) => [name, form.elements[name].value]));
    let shown = 0;
    for (const rule of rules) {
      const text = rule.textContent.toLowerCase();
      rule.hidden =
        !words.every((word) => text.includes(word)) ||
        Boolean(level && levels.get(rule) !== level) ||
        Boolean(force && rule.querySelector("strong").textContent !== force);
      if (!rule.hidden) shown += 1;
    }
    // a list without a rule goes with its heading
    for (const list of page.querySelectorAll(":scope > section > ul")) {
      list.hidden = [...list.children].every((rule) => rule.hidden);
      if (list.previousElementSibling?.matches("p")) list.previousElementSibling.hidden = list.hidden;
    }
    for (const section of page.querySelectorAll(":scope > section")) {
      section.hidden = [...section.querySelectorAll("li")].every((rule) => rule.hidden);
    }
    form.querySelector("output").textContent = `${shown} of ${rules.length} rules`;
  };
  const remember = () => {
    const now = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
    history.replaceState(null, "", now.size ? `?${now}` : location.pathname);
  };
  form.addEventListener("input", () => { apply(); remember(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  apply();
});
