// What a person thinks of an answer: that its SQL is right, or how it should read. The server keeps both.

import { $, say } from "./dom.js";
import { editor } from "./editor.js";
import { same } from "./sql.js";

/** `answer()` is what is on screen, `run()` runs the editor's SQL and says whether it could, `send(body)` posts. */
export function startFeedback({ answer, run, send, failed }) {
  const kept = (text) => ($("kept").textContent = text);

  async function post(verdict, sql) {
    const judged = answer();
    for (const button of [$("good"), $("fix")]) button.disabled = true;
    try {
      await send({ database: judged.database, question: judged.question, sql, verdict });
      judged.kept = sql;
      if (answer() === judged) kept(verdict === "good" ? "Kept as right" : "Correction kept");
    } catch (error) {
      failed(error);
    }
    refresh();
  }

  /** Buttons that fit what is on screen. */
  function refresh() {
    const now = answer();
    const sql = editor.text.trim();
    $("feedback").hidden = !now?.question;
    if (!now?.question) return;
    const edited = !same(sql, now.written);
    const done = now.kept !== null && same(now.kept, sql);
    $("good").hidden = edited || !sql || Boolean(now.result.error);
    $("good").disabled = done;
    $("fix").disabled = done || (edited && !sql);
    $("fix").querySelector("span").textContent = edited ? "Keep as correction" : "Correct the SQL";
    if (!done) kept("");
  }

  $("good").addEventListener("click", () => post("good", answer().written));
  $("fix").addEventListener("click", async () => {
    const now = answer();
    const sql = editor.text.trim();
    if (same(sql, now.written)) {
      editor.focus();
      kept("Edit the SQL, then keep it");
      return;
    }
    const good = same(now.result.sql, sql) && !now.result.error;
    if (good || (await run())) await post("fixed", sql);
    else {
      kept("Not kept: the query fails");
      say("Not kept: the query fails");
    }
  });
  editor.onChange(refresh);
  return refresh;
}
