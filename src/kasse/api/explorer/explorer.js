// Reads the server's own description of its API and makes a form of every operation.
"use strict";
(() => {
  const login = document.getElementById("login");
  let token = "";

  function make(tag, properties = {}, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  const pretty = (text) => {
    try {
      return JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      return text;
    }
  };

  login.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { account, client, secret } = Object.fromEntries(new FormData(login));
    const path = `/v1/accounts/${encodeURIComponent(account)}`;
    const answer = await fetch(`${path}/auth/token`, {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Basic ${btoa(`${client}:${secret}`)}` },
      body: JSON.stringify({ grant_type: "client_credentials", audience: location.origin + path }),
    });
    const body = await answer.json();
    token = body.access_token ?? "";
    login.querySelector("output").textContent = token ? "Logged in." : body.error.message;
  });

  function field(parameter) {
    const account = parameter.name === "aid" ? login.elements.account.value : "";
    const input = make("input", { name: parameter.name, value: account, required: parameter.in === "path" });
    input.dataset.in = parameter.in;
    input.spellcheck = false;
    return make("label", {}, parameter.name, input);
  }

  async function send(form, method, path, result) {
    let address = path;
    const query = new URLSearchParams();
    for (const input of form.querySelectorAll("input")) {
      if (input.dataset.in === "path") address = address.replace(`{${input.name}}`, encodeURIComponent(input.value));
      else if (input.value) query.append(input.name, input.value);
    }
    const body = form.elements.body?.value;
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    if (body) headers["Content-Type"] = "application/json";
    const asked = query.size ? `${address}?${query}` : address;
    const answer = await fetch(asked, { method, headers, body: body || undefined });
    result.textContent = `${answer.status} ${answer.statusText}\n\n${pretty(await answer.text())}`;
  }

  function operation(path, method, described) {
    const result = make("pre", { textContent: "No answer yet." });
    result.setAttribute("role", "status");
    const form = make("form");
    const fields = make("div", { className: "fields" });
    fields.append(...(described.parameters ?? []).map(field));
    form.append(fields);
    const example = described.requestBody?.content["application/json"].example;
    if (described.requestBody) {
      const text = JSON.stringify(example ?? {}, null, 2);
      form.append(make("label", {}, "Body", make("textarea", { name: "body", value: text, rows: 10, spellcheck: false })));
    }
    form.append(make("button", { textContent: "Send" }), result);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      send(form, method.toUpperCase(), path, result).catch((error) => (result.textContent = String(error)));
    });
    const summary = make(
      "summary",
      {},
      make("span", { className: "method", textContent: method.toUpperCase() }),
      make("span", { className: "path", textContent: path }),
      ` ${described.summary}`,
    );
    return make("details", { className: "operation" }, summary, make("p", { textContent: described.description ?? "" }), form);
  }

  async function show() {
    const description = await (await fetch("/openapi.json")).json();
    const groups = new Map();
    for (const [path, methods] of Object.entries(description.paths)) {
      for (const [method, described] of Object.entries(methods)) {
        const tag = described.tags[0];
        if (!groups.has(tag)) groups.set(tag, make("section", {}, make("h2", { textContent: tag })));
        groups.get(tag).append(operation(path, method, described));
      }
    }
    const main = document.getElementById("operations");
    main.append(...groups.values());
    main.removeAttribute("aria-busy");
  }

  show();
})();
