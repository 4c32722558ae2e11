// The SQL editor: a plain textarea whose letters are transparent, over the same text in colours. The browser's own
// keys, undo, selection and reading aloud stay as they are; Tab moves on.

import { $ } from "./dom.js";
import { coloured } from "./sql.js";

const area = $("sql");
const colours = $("colours");
const listeners = [];

function paint() {
  // A last line that is empty needs something in it to be as high as the textarea's.
  colours.replaceChildren(...coloured(area.value), "\n");
}

function changed() {
  paint();
  for (const listener of listeners) listener(area.value);
}

area.addEventListener("input", changed);

export const editor = {
  get text() {
    return area.value;
  },
  set text(sql) {
    area.value = sql;
    changed();
  },
  focus() {
    area.focus();
  },
  /** `listener(text)` after every change. */
  onChange(listener) {
    listeners.push(listener);
  },
  /** `run()` on Ctrl+Enter, Command+Enter. */
  onRun(run) {
    area.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      run();
    });
  },
  /** Replaces all, so that Undo brings it back. */
  rewrite(sql) {
    area.focus();
    area.select();
    type(sql);
  },
  /** Puts a word where the caret was, with spaces around it where they are needed. */
  insert(word) {
    const before = area.value.slice(0, area.selectionStart);
    const after = area.value.slice(area.selectionEnd);
    area.focus();
    type((/[\s(.]$|^$/.test(before) ? "" : " ") + word + (/^[\s),.;]/.test(after) ? "" : " "));
  },
  /** Copies all; whether it could. */
  async copy() {
    try {
      await navigator.clipboard.writeText(area.value);
      return true;
    } catch {
      area.focus(); // over plain HTTP there is no clipboard but the old command
      area.select();
      return document.execCommand("copy");
    }
  },
};

/** As if typed: the one way that leaves Undo whole. */
function type(text) {
  if (!document.execCommand("insertText", false, text)) {
    area.setRangeText(text, area.selectionStart, area.selectionEnd, "end");
    changed();
  }
}

paint();
