// The preview page without reloads. Everything works without this file; it adds tabs, finding, dropping and copying.
"use strict";
(() => {
  const results = document.getElementById("results");
  const said = document.getElementById("said");
  const chosenTabs = {};

  // -- tabs: the panels of a group become a tablist that remembers its choice

  function makeTabs(group) {
    const name = group.dataset.tabs;
    const panels = [...group.children].filter((one) => one.dataset.tab);
    const list = document.createElement("div");
    list.className = "tablist";
    list.setAttribute("role", "tablist");
    list.setAttribute("aria-label", name);
    const tabs = panels.map((panel) => {
      const tab = document.createElement("button");
      tab.type = "button";
      tab.id = "tab-" + panel.id;
      tab.textContent = panel.dataset.tab;
      if (panel.dataset.count) {
        const count = document.createElement("span");
        count.className = "count";
        count.textContent = panel.dataset.count;
        tab.append(count);
      }
      tab.setAttribute("role", "tab");
      tab.setAttribute("aria-controls", panel.id);
      panel.setAttribute("role", "tabpanel");
      panel.setAttribute("aria-labelledby", tab.id);
      list.append(tab);
      return tab;
    });
    function choose(at) {
      tabs.forEach((tab, i) => {
        tab.setAttribute("aria-selected", String(i === at));
        tab.tabIndex = i === at ? 0 : -1;
        panels[i].hidden = i !== at;
      });
      chosenTabs[name] = panels[at].id;
    }
    list.addEventListener("click", (event) => {
      const at = tabs.indexOf(event.target.closest("button"));
      if (at >= 0) choose(at);
    });
    list.addEventListener("keydown", (event) => {
      const at = tabs.indexOf(document.activeElement);
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const next = (to + tabs.length) % tabs.length;
      choose(next);
      tabs[next].focus();
    });
    group.prepend(list);
    group.classList.add("enhanced");
    const wanted = panels.findIndex((panel) => panel.id === chosenTabs[name]);
    choose(Math.max(0, wanted >= 0 ? wanted : panels.findIndex((panel) => "selected" in panel.dataset)));
  }

  // -- what is drawn anew with every answer

  function enhanceResults() {
    results.querySelectorAll(".tabs").forEach(makeTabs);
    results.querySelectorAll("[data-copy]").forEach(addCopy);
    offerPlace(results.querySelector("[data-place]"));
    const narrow = document.getElementById("narrow");
    if (narrow) {
      narrow.checked = chosenTabs.narrow === true;
      narrow.addEventListener("change", () => { chosenTabs.narrow = narrow.checked; });
    }
  }

  function addCopy(figure) {
    if (!navigator.clipboard) return;
    const code = (of) => of.querySelector("code").textContent;
    const buttons = document.createElement("span");
    buttons.className = "buttons";
    const add = (label, words) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "plain";
      button.textContent = label;
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(words());
        button.textContent = "Copied";
        say("Copied.");
        setTimeout(() => { button.textContent = label; }, 2000);
      });
      buttons.append(button);
    };
    const command = results.querySelector('[data-copy="command"]');
    if (figure.dataset.copy === "request" && command) {
      // a quoted heredoc: the shell leaves every character of the request alone
      add("Copy as curl", () => code(command).replace("@request.json", "@- <<'JSON'") + "\n" + code(figure) + "\nJSON\n");
    }
    add("Copy", () => code(figure));
    figure.querySelector("figcaption").append(buttons);
  }

  // "line 3, column 7: ..." becomes a button that goes there
  function offerPlace(words) {
    const found = words && /line (\d+)(?:, column (\d+))?/.exec(words.textContent);
    const text = document.getElementById("text");
    if (!found || !text.value) return;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "plain";
    button.textContent = "Go to line " + found[1];
    button.addEventListener("click", () => {
      const lines = text.value.split("\n");
      const start = lines.slice(0, found[1] - 1).join("\n").length + (found[1] > 1 ? 1 : 0);
      const at = start + Math.max(0, (found[2] || 1) - 1);
      text.focus();
      text.setSelectionRange(at, Math.min(at + 1, text.value.length));
      text.scrollTop = (text.scrollHeight / lines.length) * Math.max(0, found[1] - 4);
    });
    words.parentElement.append(button);
  }

  function say(words) {
    said.textContent = "";
    requestAnimationFrame(() => { said.textContent = words; });
  }

  // -- asking: the same addresses and forms as without JavaScript, only the answer is put in place

  let asked = 0;
  async function ask(address, options) {
    const mine = ++asked;
    results.setAttribute("aria-busy", "true");
    try {
      const response = await fetch(address, options);
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      if (mine !== asked) return;
      const answer = page.getElementById("results");
      if (!answer) throw new Error("no page");
      results.replaceChildren(...answer.childNodes);
      document.title = page.title;
    } catch {
      if (mine !== asked) return;
      const words = "The service could not be reached. Nothing was assessed.";
      const refused = document.createElement("div");
      refused.className = "refused";
      refused.dataset.said = words;
      const title = document.createElement("h2");
      title.id = "results-title";
      title.textContent = "Not assessed";
      const line = document.createElement("p");
      line.textContent = words;
      refused.append(title, line);
      results.replaceChildren(refused);
    }
    results.removeAttribute("aria-busy");
    enhanceResults();
    say(results.querySelector("[data-said]")?.dataset.said.trim() || "");
    if (results.getBoundingClientRect().top > innerHeight * 0.8) results.scrollIntoView({ block: "start" });
  }

  function addressOf(form) {
    const wanted = new URLSearchParams();
    for (const [name, value] of new FormData(form)) if (value) wanted.set(name, value);
    return form.getAttribute("action").split("#")[0] + "?" + wanted;
  }

  document.querySelectorAll("form[data-enhance]").forEach((form) => {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (form.method === "post") {
        history.replaceState(null, "", form.getAttribute("action").split("#")[0]);
        ask(form.getAttribute("action").split("#")[0], { method: "POST", body: new FormData(form) });
      } else {
        const address = addressOf(form);
        history.pushState(null, "", address);
        ask(address);
      }
    });
  });
  addEventListener("popstate", () => location.reload());

  // -- examples: moving the choice shows its cards; a box finds by title, case and hook

  const choose = document.querySelector("form.choose");
  if (choose) {
    let soon;
    choose.addEventListener("change", (event) => {
      if (event.target.id === "filter" || !choose.elements.example.value) return;
      clearTimeout(soon);
      soon = setTimeout(() => {
        const address = addressOf(choose);
        history.replaceState(null, "", address);
        ask(address);
      }, 150);
    });
    const filter = document.getElementById("filter");
    const options = [...choose.querySelectorAll(".option")].map((label) => [
      label,
      (label.closest("fieldset").querySelector("legend").textContent + " " + label.textContent).toLowerCase(),
    ]);
    filter.addEventListener("input", () => {
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const [label, text] of options) {
        label.hidden = !words.every((word) => text.includes(word));
        if (!label.hidden) shown += 1;
      }
      choose.querySelectorAll("fieldset").forEach((set) => { set.hidden = !set.querySelector(".option:not([hidden])"); });
      document.getElementById("filter-count").textContent = words.length ? shown + " of " + options.length : "";
    });
    filter.addEventListener("keydown", (event) => {
      if (event.key === "Enter") event.preventDefault();
      if (event.key !== "ArrowDown" && event.key !== "Enter") return;
      event.preventDefault();
      choose.querySelector(".option:not([hidden]) input")?.focus();
    });
    const checked = choose.querySelector("input:checked");
    if (checked) checked.closest(".option").scrollIntoView({ block: "nearest" });
  }

  // -- your own: a file dropped on the box is read into it

  const text = document.getElementById("text");
  ["dragover", "dragleave", "drop"].forEach((kind) =>
    text.addEventListener(kind, async (event) => {
      if (![...event.dataTransfer.types].includes("Files")) return;
      event.preventDefault();
      text.classList.toggle("over", kind === "dragover");
      const file = kind === "drop" && event.dataTransfer.files[0];
      if (!file) return;
      text.value = await file.text();
      document.getElementById("file").value = "";
      text.form.requestSubmit();
    }),
  );
  text.addEventListener("input", () => { document.getElementById("file").value = ""; });

  document.querySelectorAll(".enhanced-only").forEach((one) => { one.hidden = false; });
  document.querySelectorAll("#input .tabs").forEach(makeTabs);
  enhanceResults();
})();
