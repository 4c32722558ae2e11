"use strict";
// Before the first paint, so that a theme chosen earlier does not flash; a classic script, for modules run too late.
try {
  const theme = localStorage.getItem("loraql.theme");
  if (theme === '"light"' || theme === '"dark"') document.documentElement.dataset.theme = JSON.parse(theme);
} catch {
  // storage is switched off: the system's theme holds
}
