// Asks for the API key in a dialog. The key itself is kept by api.js, in this tab's session only.

import { $ } from "./dom.js";

const dialog = $("key-dialog");
const field = $("key");
let open = null; // the promise of the dialog on screen: requests at the same time share it
let answer = () => {};

function done(key) {
  open = null;
  dialog.close();
  answer(key);
}

/** The key that a person gives, or null. `refused` tells that the one before was wrong. */
export function askKey(refused) {
  open ??= new Promise((resolve) => {
    answer = resolve;
    $("key-why").textContent = refused ? "The server refused this key." : "The server wants its API key.";
    $("key-why").classList.toggle("bad", refused);
    field.value = "";
    dialog.showModal();
    field.focus();
  });
  return open;
}

dialog.querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const key = field.value.trim();
  if (/^[\x21-\x7e]+$/.test(key)) return done(key);
  $("key-why").textContent = "A key has letters, digits and signs of ASCII only, and no spaces.";
  field.focus();
});
dialog.addEventListener("cancel", (event) => (event.preventDefault(), done(null)));
$("key-cancel").addEventListener("click", () => done(null));
