// The pages work without this. It offers printing, and opens what is folded for the time of a print.
"use strict";

(() => {
  const opened = [];
  addEventListener("beforeprint", () => {
    document.querySelectorAll("details:not([open])").forEach((one) => { one.open = true; opened.push(one); });
  });
  addEventListener("afterprint", () => {
    opened.splice(0).forEach((one) => { one.open = false; });
  });
  document.querySelectorAll(".print-button").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", () => print());
  });
})();
