// The page of `loraql serve`: choose a database, ask, look at the SQL and its rows, correct it. This module starts the
// others and fetches what there is to ask about.

import { call } from "./api.js";
import { chooseDatabase, look, startAnswers } from "./answers.js";
import { showDiagram } from "./diagram.js";
import { $, cut, make } from "./dom.js";
import { editor } from "./editor.js";
import { clearNotice, notice, startFrame } from "./frame.js";
import { askKey } from "./key.js";
import { showList } from "./schema.js";
import { spelt } from "./sql.js";
import { local } from "./store.js";

let databases = [];

async function request(path, options = {}) {
  const answer = await call(path, { ...options, askKey });
  clearNotice();
  return answer;
}

function choose(name) {
  const chosen = databases.find((database) => database.name === name) ?? null;
  if (chosen) local.set("database", name);
  clearNotice();
  const insert = (word) => editor.insert(spelt(word, chosen.dialect));
  chooseDatabase(chosen);
  showDiagram(chosen, insert);
  showList(chosen, insert, look);
}

async function start() {
  try {
    const [health, known] = [await request("health"), await request("v1/databases")];
    databases = known.databases;
    $("model").textContent = health.model;
  } catch (error) {
    choose(null);
    notice(error.message, start);
    return;
  }
  $("database").replaceChildren(...databases.map(({ name }) => make("option", { value: name }, cut(name, 60))));
  const before = local.get("database");
  const first = databases.some(({ name }) => name === before) ? before : databases[0]?.name;
  $("database").value = first ?? "";
  choose(first);
  if (!databases.length) notice("The server has no databases. Start loraql serve with at least one.");
}

$("database").addEventListener("change", (event) => choose(event.target.value));
startFrame();
startAnswers(request, (error) => notice(error.message));
start();
