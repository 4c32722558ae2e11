// What stands around the answers: the theme, the tabs beside them, and the notice that something is wrong.

import { $, icon, say } from "./dom.js";
import { local } from "./store.js";

const THEMES = ["auto", "light", "dark"];
const TABS = ["diagram", "list", "history"];
const NAMES = { auto: "as the system", light: "light", dark: "dark" };
const narrow = matchMedia("(max-width: 60rem)"); // as in style.css

function paint(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  $("theme").replaceChildren(icon(theme));
  $("theme").title = `Theme: ${NAMES[theme]}`;
  $("theme").setAttribute("aria-label", `Theme: ${NAMES[theme]}`);
}

function startTheme() {
  let theme = local.get("theme", "auto");
  if (!THEMES.includes(theme)) theme = "auto";
  paint(theme);
  $("theme").addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    local.set("theme", theme);
    paint(theme);
    say(`Theme: ${NAMES[theme]}`);
  });
}

/** Shows a tab; a narrow screen has no place for the diagram, the list stands in for it. */
export function showTab(name) {
  const chosen = narrow.matches && name === "diagram" ? "list" : name;
  for (const tab of TABS) {
    $(tab).hidden = tab !== chosen;
    $(`tab-${tab}`).setAttribute("aria-selected", tab === chosen);
    $(`tab-${tab}`).tabIndex = tab === chosen ? 0 : -1;
  }
}

function startTabs() {
  let chosen = local.get("tab", "diagram");
  if (!TABS.includes(chosen)) chosen = "diagram";
  const choose = (name) => {
    chosen = name;
    local.set("tab", name);
    showTab(name);
  };
  for (const tab of TABS) $(`tab-${tab}`).addEventListener("click", () => choose(tab));
  document.querySelector("[role=tablist]").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const there = TABS.filter((tab) => $(`tab-${tab}`).getClientRects().length);
    const now = there.findIndex((tab) => $(`tab-${tab}`).getAttribute("aria-selected") === "true");
    const next = there[(now + step + there.length) % there.length];
    choose(next);
    $(`tab-${next}`).focus();
  });
  narrow.addEventListener("change", () => showTab(chosen));
  showTab(chosen);
  $("widen").addEventListener("click", (event) => {
    const wide = document.body.classList.toggle("wide");
    event.currentTarget.setAttribute("aria-pressed", wide);
  });
}

/** Says what is wrong across the page's top, with a way to try again where there is one. */
export function notice(message, again = null) {
  const box = $("notice");
  box.querySelector("p").textContent = message;
  box.querySelector("button").hidden = !again;
  box.querySelector("button").onclick = () => {
    box.hidden = true;
    again();
  };
  box.hidden = false;
}

export const clearNotice = () => ($("notice").hidden = true);

export function startFrame() {
  startTheme();
  startTabs();
}
