// The steps of express without loading the page anew: each form's answer is the page as it is then, of which the
// parts that have changed are put in place.
"use strict";
(() => {
  const { kasse } = window;
  const page = document.body.dataset;
  const IN_PLACE = ["express", "ready", "declined"];
  const PATIENCE = 90000;
  const LONG = 8000;
  document.documentElement.classList.add("scripted");

  const part = (name, root = document) => root.querySelector(`[data-part="${name}"]`);
  const said = document.querySelector("[data-said]");
  let sending = null;
  let next = null;

  // What the payer did he sees done; what others did he is told.
  function say(text, seen = false) {
    said.classList.toggle("unseen", !seen);
    if (said.textContent !== text) said.textContent = text;
  }

  function progress(form, text) {
    say(text);
    const place = form.querySelector("[data-progress]");
    if (place) place.textContent = text;
  }

  // -- putting the page that has come in place of the one that is there

  kasse.turnsTo = (state) => IN_PLACE.includes(state) && IN_PLACE.includes(page.state);

  kasse.turn = (fresh) => {
    const [here, there] = [part("payment"), part("payment", fresh)];
    if (!there || !part("express", fresh) || !kasse.turnsTo(fresh.body.dataset.state)) return false;
    here.replaceChildren(...there.childNodes);
    page.state = fresh.body.dataset.state;
    document.title = fresh.title;
    kasse.setUp(here);
    return true;
  };

  const isTicked = (control) => control.type === "radio" || control.type === "checkbox";

  function isTouched(control) {
    if (isTicked(control)) return control.checked !== control.defaultChecked;
    if (control.options) return [...control.options].some((each) => each.selected !== each.defaultSelected);
    return control.value !== control.defaultValue;
  }

  // What is being typed into forms that were not sent stays, and what is unfolded.
  kasse.keep = (here, there) => {
    for (const form of here.querySelectorAll("[data-express-form]")) {
      const same = there.querySelector(`#${form.id}`);
      if (!same || form.id === sending) continue;
      for (const control of form.elements) {
        if (!control.name || control.type === "hidden" || !isTouched(control)) continue;
        const twin = [...same.elements].find((each) => each.name === control.name && (!isTicked(each) || each.value === control.value));
        if (!twin) continue;
        if (isTicked(twin)) twin.checked = control.checked;
        else twin.value = control.value;
      }
    }
    for (const open of here.querySelectorAll("details[open]")) {
      const same = open.id && there.querySelector(`#${CSS.escape(open.id)}`);
      if (same && !open.querySelector(`[id="${sending}"]`)) same.open = true;
    }
  };

  kasse.shown = (changed) => {
    const steps = part("express");
    if (steps && !sending && changed.includes("summary")) say(`${steps.dataset.changed} ${steps.dataset.say}`, true);
  };

  function place(fresh, began) {
    const at = document.activeElement?.id || began;
    kasse.show(fresh);
    const trouble = document.querySelector("[data-trouble]");
    const same = at && document.getElementById(at);
    say(trouble ? "" : (part("express")?.dataset.say ?? ""));
    // Whoever has given an address is led on, even where the form stays in sight for another one.
    if (trouble) trouble.focus();
    else if (sending !== "address-form" && same?.checkVisibility()) same.focus();
    else document.querySelector("[data-next]")?.focus();
  }

  // -- sending a step

  function setBusy(form, now) {
    const button = form.querySelector("[type=submit]");
    button?.setAttribute("aria-busy", now);
    for (const fieldset of document.querySelectorAll("main fieldset")) {
      // A choice goes on while it is being saved: the last one counts.
      if (fieldset.closest("#shipping-form") && form.id === "shipping-form") continue;
      fieldset.disabled = now || Boolean(kasse.held);
    }
  }

  async function send(form) {
    if (kasse.busy || kasse.held) return;
    const body = new URLSearchParams(new FormData(form));
    const version = page.version;
    const began = document.activeElement?.id;
    sending = form.id;
    kasse.busy = true;
    kasse.tell("");
    setBusy(form, true);
    const before = form.querySelector("[data-progress]")?.textContent ?? "";
    progress(form, form.dataset.busy);
    const long = setTimeout(() => progress(form, form.dataset.long || form.dataset.busy), LONG);
    try {
      const fresh = await (form.matches("[data-address-form]") && kasse.askForAddress ? askShop(form, body) : post(form, body));
      kasse.busy = false;
      setBusy(form, false);
      if (fresh) place(fresh, began);
      if (page.version !== version) kasse.updated?.();
    } catch (error) {
      kasse.busy = false;
      setBusy(form, false);
      progress(form, before);
      say("");
      kasse.tell(error.told ?? kasse.words("offline"));
    } finally {
      clearTimeout(long);
      sending = null;
      kasse.catchUp();
      choose();
    }
  }

  async function post(form, body) {
    const reply = await fetch(form.action, { method: "POST", body, signal: AbortSignal.timeout(PATIENCE) });
    return read(reply);
  }

  const failure = (told) => Object.assign(new Error(told), { told });

  async function read(reply) {
    const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
    if (!fresh.body.dataset.view) throw failure(part("express").dataset.failed);
    return fresh;
  }

  // The shop's own page asks its server, which changes the session; only then the address is saved.
  async function askShop(form, body) {
    body.set("check", "1");
    const checked = await fetch(form.action, { method: "POST", body, signal: AbortSignal.timeout(PATIENCE) });
    if (!checked.headers.get("Content-Type")?.includes("json")) return read(checked);
    const { order, shipping_address, billing_address } = await checked.json();
    const locked = await fetch(`${page.session}/lock`, { method: "POST" });
    if (!locked.ok) throw failure(kasse.words("refused"));
    const { pay_lock_id } = (await locked.json()).pay_lock;
    let answer;
    try {
      const session = await (await fetch(page.session, { cache: "no-store" })).json();
      answer = await kasse.askForAddress({ ...session, order });
    } finally {
      await fetch(`${page.session}/lock?pay_lock_id=${encodeURIComponent(pay_lock_id)}`, { method: "DELETE" });
    }
    if (!answer?.success) {
      sending = null;
      kasse.show(await fetchPage());
      throw failure(answer ? answer.error || kasse.words("refused") : kasse.words("silent"));
    }
    const saved = await fetch(`${page.session}/order/addresses?client_side_address_callback=true`, {
      method: "PUT",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ shipping_address, billing_address }),
    });
    if (!saved.ok) throw failure(kasse.words("refused"));
    return fetchPage();
  }

  async function fetchPage() {
    return read(await fetch(page.view, { cache: "no-store" }));
  }

  // A choice that was made while another was being saved.
  function choose() {
    const radio = next && document.getElementById(next);
    next = null;
    if (!radio || radio.defaultChecked) return;
    radio.checked = true;
    send(radio.form);
  }

  document.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-express-form]")) return;
    event.preventDefault();
    send(event.target);
  });
  document.addEventListener("change", ({ target }) => {
    if (target.name !== "option" || !target.form?.matches("#shipping-form")) return;
    if (kasse.busy) next = target.id;
    else send(target.form);
  });
})();
