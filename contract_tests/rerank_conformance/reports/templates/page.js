"use strict";
(() => {
  const said = document.getElementById("said");

  // a link into the contract opens it: not every browser does that by itself
  const open = () => {
    const place = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const around = place && place.closest("details");
    if (!around) return;
    around.open = true;
    place.scrollIntoView({ block: "center" });
  };
  addEventListener("hashchange", open);
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#"]');
    if (link && link.hash === location.hash) open();
  });
  open();

  // the clipboard is closed to pages on some origins; marking and copying works there
  const copied = async (code) => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      return true;
    } catch {
      getSelection().selectAllChildren(code);
      return document.execCommand("copy");
    }
  };
  for (const button of document.querySelectorAll("button.copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const done = await copied(button.closest(".curl").querySelector("code"));
      button.textContent = done ? "Copied" : "Press Ctrl+C";
      if (said) said.textContent = button.textContent;
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }

  const items = [...document.querySelectorAll("[data-outcome]")];
  const buttons = [...document.querySelectorAll("[data-show]")];
  const parts = [...document.querySelectorAll("[data-section], [data-part]")];
  const folding = new Map(parts.filter((part) => part.matches("details")).map((part) => [part, part.open]));
  for (const group of document.querySelectorAll(".filters")) group.hidden = false;
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const wanted = button.dataset.show;
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      for (const item of items) item.hidden = wanted !== "" && !item.dataset.outcome.split(" ").includes(wanted);
      for (const part of parts) {
        const some = part.querySelector("[data-outcome]:not([hidden])") !== null;
        part.hidden = !some;
        if (folding.has(part)) part.open = wanted === "" ? folding.get(part) : some;
      }
      if (said) said.textContent = wanted === "" ? "Every rule is shown" : `Only these are shown: ${button.textContent.trim()}`;
    });
  }
})();
