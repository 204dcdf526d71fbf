// The page works without this file. With it, mistakes are told at once, pressing twice does not pay
// twice, and a page that has been overtaken by events finds out by itself.
"use strict";
(() => {
  const page = document.body.dataset;
  const PAYABLE = ["ready", "declined", "challenge"];
  // What the other scripts of the page use. Whoever adds to "before" is asked before a payment is sent: null lets
  // it go, a text is told to the payer instead. "busy" while this page pays, "held" while the shop changes the
  // order, "away" while the payer is in a pop-out.
  const kasse = (window.kasse = { before: [], busy: false, held: false, away: false, refresh, show, tell, words, hold, release, leave, choose, setUp, catchUp });

  const ANY_LENGTH = [12, 13, 14, 15, 16, 17, 18, 19];
  const BRANDS = [
    { name: "Visa", starts: /^4/, lengths: [16, 19] },
    { name: "Mastercard", starts: /^(5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720)/, lengths: [16] },
    { name: "American Express", starts: /^3[47]/, lengths: [15], six: true, cvc: 4 },
    { name: "Dankort", starts: /^5019/, lengths: [16] },
    { name: "Diners Club", starts: /^3(0[0-5]|[689])/, lengths: [14, 16, 19], six: true },
    { name: "Discover", starts: /^(6011|64[4-9]|65)/, lengths: [16, 19] },
    { name: "JCB", starts: /^35(2[89]|[3-8])/, lengths: [16, 19] },
    { name: "UnionPay", starts: /^62/, lengths: [16, 17, 18, 19] },
    { name: "Maestro", starts: /^(5[06-9]|6\d)/, lengths: ANY_LENGTH },
    { name: "", starts: /^/, lengths: ANY_LENGTH },
  ];

  const digitsOf = (text) => text.replace(/\D/g, "");
  const brandOf = (digits) => BRANDS.find((brand) => brand.starts.test(digits));

  function spaced(digits) {
    const { six, lengths } = brandOf(digits);
    const group = six && digits.length <= lengths[0] ? /^\d{1,4}|\d{1,6}/g : /\d{1,4}/g;
    return (digits.match(group) ?? []).join(" ");
  }

  function luhn(digits) {
    let sum = 0;
    [...digits].reverse().forEach((digit, n) => {
      const value = n % 2 ? digit * 2 : +digit;
      sum += value > 9 ? value - 9 : value;
    });
    return sum % 10 === 0;
  }

  function writtenExpiry(text, deleting) {
    let [month, ...rest] = text.split(/\D+/);
    let year = rest.join("");
    if (month.length > 2) [month, year] = [month.slice(0, 2), month.slice(2) + year];
    const leftMonth = month !== "" && (rest.length > 0 || month.length === 2 || /^[2-9]/.test(month));
    if (!leftMonth || (deleting && year === "")) return month;
    // Browsers may fill in 2029.
    return `${month.padStart(2, "0")}/${year.length > 2 ? year.slice(0, 4).replace(/^20(?=\d)/, "") : year}`;
  }

  function setUpForm(form) {
    const number = form.elements.card_number;
    const expiry = form.elements.card_expiry;
    const cvc = form.elements.card_cvc;
    const brandName = form.querySelector("[data-brand]");
    const hint = document.getElementById("card_cvc-hint");
    const hintText = hint.textContent;

    const isAmex = () => brandOf(digitsOf(number.value)).cvc === 4;

    const mistakes = new Map([
      [number, () => {
        const digits = digitsOf(number.value);
        const lengths = brandOf(digits).lengths;
        const complete = lengths.includes(digits.length);
        if (!digits) return number.dataset.missing;
        if (!complete && digits.length < Math.max(...lengths)) return number.dataset.incomplete;
        return complete && luhn(digits) ? "" : number.dataset.check;
      }],
      [expiry, () => {
        const match = /^(\d\d)\D*(?:20)?(\d\d)$/.exec(expiry.value.trim());
        if (!match) return expiry.dataset.missing;
        if (match[1] < "01" || match[1] > "12") return expiry.dataset.monthWrong;
        // The browser's clock may be wrong, and a test account has a clock of its own.
        const thisMonth = form.dataset.month || new Date().toISOString().slice(0, 7);
        return `20${match[2]}-${match[1]}` < thisMonth ? expiry.dataset.expired : "";
      }],
      [cvc, () => {
        const wanted = isAmex() ? /^\d{4}$/ : /^\d{3}$/;
        return wanted.test(cvc.value.trim()) ? "" : isAmex() ? cvc.dataset.missingAmex : cvc.dataset.missing;
      }],
    ]);

    function tellMistake(field) {
      const text = mistakes.get(field)();
      const place = document.getElementById(`${field.id}-error`);
      // The same text again would be read out again.
      if (place.textContent !== text) place.textContent = text;
      if (text) field.setAttribute("aria-invalid", "true");
      else field.removeAttribute("aria-invalid");
      return !text;
    }

    function isWhole(field) {
      // "20" may be the beginning of a year of four digits.
      if (field === expiry) return /^\d\d\/(?!20)\d\d$/.test(expiry.value);
      const digits = digitsOf(number.value);
      const { lengths } = brandOf(digits);
      return field === number && digits.length >= (lengths.includes(16) ? 16 : Math.max(...lengths));
    }

    function showBrand() {
      const name = brandOf(digitsOf(number.value)).name;
      if (brandName.textContent !== name) brandName.textContent = name;
      hint.textContent = isAmex() ? hint.dataset.amex : hintText;
    }

    number.addEventListener("input", () => {
      // The caret stays behind the same digit.
      const before = Math.min(digitsOf(number.value.slice(0, number.selectionStart)).length, 19);
      number.value = spaced(digitsOf(number.value).slice(0, 19));
      const caret = new RegExp(`^(?: ?\\d){${before}}`).exec(number.value)[0].length;
      number.setSelectionRange(caret, caret);
      showBrand();
    });

    expiry.addEventListener("input", (event) => {
      // Someone who corrects in the middle is left alone.
      if (expiry.selectionStart !== expiry.value.length) return;
      expiry.value = writtenExpiry(expiry.value, /^delete/.test(event.inputType));
    });

    for (const field of mistakes.keys()) {
      field.addEventListener("blur", () => { if (field.value && !kasse.busy) tellMistake(field); });
      // A mistake goes away as soon as it is put right; a new one is told while typing only if nothing is to come.
      field.addEventListener("input", () => {
        if (field.hasAttribute("aria-invalid") ? !mistakes.get(field)() : isWhole(field)) tellMistake(field);
      });
    }

    // By the back button the page may come with somebody's card in it.
    window.addEventListener("pageshow", () => {
      if (performance.getEntriesByType("navigation")[0]?.type === "back_forward" && !kasse.busy) form.reset();
      showBrand();
    });
    setUpPaying(form, () => {
      const wrong = [...mistakes.keys()].filter((field) => !tellMistake(field));
      wrong[0]?.focus();
      return !wrong.length;
    });
  }

  // -- paying, by whatever form

  function setUpPaying(form, isFilled) {
    const button = form.querySelector("[type=submit]");
    const label = form.querySelector("[data-label]");
    const status = form.querySelector("[data-status]");
    const cancel = document.querySelector("[data-cancel-form] button");
    let payText = [...label.childNodes];

    function setBusy(now) {
      if (now) payText = [...label.childNodes];
      kasse.busy = now;
      button.disabled = now;
      button.setAttribute("aria-busy", now);
      label.replaceChildren(...(now ? [button.dataset.busy] : payText));
      status.textContent = now ? status.dataset.busy : "";
      if (cancel) cancel.disabled = now;
    }

    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (kasse.busy || !isFilled()) return;
      tell("");
      setBusy(true);
      const obstacle = await findObstacle();
      if (obstacle === null) return form.submit();
      setBusy(false);
      tell(obstacle);
    });
    // Some browsers remember over a reload that a button was disabled.
    setBusy(false);
    form.noValidate = true;
  }

  // -- the choice of a method

  function setUpMethods(root) {
    for (const method of root.querySelectorAll("[data-method]")) {
      method.addEventListener("toggle", () => { if (method.open) kasse.chosen?.(method.dataset.method); });
    }
  }

  function choose(type) {
    for (const method of document.querySelectorAll("[data-method]")) method.open = method.dataset.method === type;
  }

  // Whether something stands in the way of a payment: null, or what to tell. Nothing has been sent by then.
  async function findObstacle() {
    try {
      const reply = await fetch(`${page.watch}/state`, { cache: "no-store", signal: AbortSignal.timeout(10000) });
      if (reply.ok && !PAYABLE.includes((await reply.json()).state)) {
        location.replace(page.view);
        return new Promise(() => {});
      }
    } catch {
      return told().dataset.offline;
    }
    for (const ask of kasse.before) {
      const text = await ask();
      if (text !== null) return text;
    }
    return null;
  }

  const told = () => document.querySelector("[data-told]");

  function words(name) {
    return told()?.dataset[name] ?? "";
  }

  // Tells something above the forms, or takes it away.
  function tell(text) {
    const place = told();
    if (!place) return;
    place.querySelector("p").textContent = text;
    place.hidden = !text;
    if (text) place.focus();
  }

  // The shop is changing the order: nothing can be entered or paid until it has.
  function hold() {
    kasse.held = true;
    for (const part of document.querySelectorAll("main fieldset, [data-cancel-form] button")) part.disabled = true;
    const place = document.querySelector("[data-held]");
    if (place) place.textContent = place.dataset.held;
  }

  function release() {
    if (!kasse.held) return;
    kasse.held = false;
    for (const part of document.querySelectorAll("main fieldset, [data-cancel-form] button")) part.disabled = false;
    const place = document.querySelector("[data-held]");
    if (place) place.textContent = "";
  }

  // -- how things are

  // Fetches the page anew and shows what has changed, leaving alone what the payer is typing.
  async function refresh() {
    const reply = await fetch(page.view, { headers: { Accept: "text/html" }, cache: "no-store" });
    return show(new DOMParser().parseFromString(await reply.text(), "text/html"));
  }

  // Shows the page that has come in place of this one. Steps that can be taken without leaving it know how to "turn".
  function show(fresh) {
    const now = fresh.body.dataset;
    const here = (part) => document.querySelector(`[data-part="${part.dataset.part}"]`);
    const other = now.state !== page.state || [...fresh.querySelectorAll("[data-part]")].some((part) => !here(part));
    if (other && !kasse.turn?.(fresh)) return leave(page.view);
    page.version = now.version;
    const { activeElement: at } = document;
    const caret = at?.selectionStart;
    const changed = [];
    for (const part of fresh.querySelectorAll("[data-part]")) {
      const place = here(part);
      // A card that is being typed stays: what can change around it are parts of their own.
      if (!place || part.hasAttribute("data-stays") || place.innerHTML === part.innerHTML) continue;
      changed.push(part.dataset.part);
      kasse.keep?.(place, part);
      Object.assign(place.dataset, part.dataset);
      place.replaceChildren(...part.childNodes);
    }
    if (now.locked) hold();
    else release();
    // Whoever was somewhere in a part that is another one now still is there.
    const same = at?.id && !at.isConnected && document.getElementById(at.id);
    if (same) {
      same.focus();
      if (caret != null) same.setSelectionRange?.(caret, caret);
    }
    kasse.shown?.(changed);
  }

  // Goes to another page, for good: whoever waits for what comes after waits in vain.
  function leave(address) {
    location.replace(address);
    return new Promise(() => {});
  }

  let latest = null;

  function heard(now) {
    latest = now;
    // What was said before the page had come that is here now is no news.
    if (kasse.busy || kasse.away || now.version < Number(page.version)) return;
    // A page that only waits goes on by itself; one that was being filled in says first what has happened.
    if (now.state !== page.state && !kasse.turnsTo?.(now.state)) leave(now.href && !("role" in page) && !PAYABLE.includes(page.state) ? now.href : page.view);
    else if (now.state !== page.state || String(now.version) !== page.version) {
      page.version = now.version;
      kasse.changed?.();
    }
  }

  // What has been said while this page was busy.
  function catchUp() {
    if (latest) heard(latest);
  }

  kasse.changed = refresh;

  function watch() {
    let source, timer;

    async function ask() {
      try {
        const reply = await fetch(`${page.watch}/state`, { cache: "no-store" });
        if (reply.ok) heard(await reply.json());
      } catch {
        // No network just now: ask again.
      }
    }

    // Where the server has no room for one more listener, ask now and then.
    function askAgain(pause) {
      timer = setTimeout(async () => {
        await ask();
        askAgain(Math.min(pause * 1.5, 60000));
      }, pause);
    }

    function listen() {
      source = new EventSource(`${page.watch}/events`);
      source.onmessage = (event) => heard(JSON.parse(event.data));
      source.onerror = () => {
        if (source.readyState === EventSource.CLOSED) askAgain(5000);
      };
    }

    function rest() {
      source?.close();
      clearTimeout(timer);
    }

    document.addEventListener("visibilitychange", () => {
      rest();
      if (document.hidden) return;
      ask();
      listen();
    });
    window.addEventListener("pagehide", rest);
    if (!document.hidden) listen();
  }

  function setUpOnce(form) {
    form.addEventListener("submit", (event) => {
      if (form.dataset.sent) event.preventDefault();
      form.dataset.sent = 1;
    });
  }

  function setUp(root) {
    root.querySelectorAll("[data-card-form]").forEach(setUpForm);
    setUpMethods(root);
    root.querySelectorAll("[data-pay-form]").forEach((form) => setUpPaying(form, () => true));
    root.querySelectorAll("[data-once], [data-cancel-form]").forEach(setUpOnce);
  }

  // -- another language is another page: what was typed into it comes along, but for cards

  const KEPT = `typed ${page.view?.split("?")[0]}`;
  const typed = () => [...document.querySelectorAll("[data-express-form]")].flatMap((form) => [...form.elements])
    .filter(({ id, name, type }) => id && name && name !== "option" && type !== "hidden");

  // In the window's name, which the next page gives back at once: a frame often may not store anything.
  function take() {
    const fields = typed().map(({ id, value, checked, type }) => [id, /radio|checkbox/.test(type) ? checked : value]);
    const method = document.querySelector("[data-method][open]")?.dataset.method;
    window.name = JSON.stringify({ KEPT, fields, method, name: window.name });
  }

  function unpack() {
    if (!window.name.includes(KEPT)) return;
    try {
      const { fields, method, name } = JSON.parse(window.name);
      window.name = name;
      const kept = new Map(fields);
      for (const field of typed()) {
        const value = kept.get(field.id);
        if (typeof value === "boolean") field.checked = value;
        else if (value) field.value = value;
      }
      if (method) choose(method);
    } catch {
      // Somebody else has named the window like that.
    }
  }

  kasse.take = take;
  document.addEventListener("click", (event) => {
    const stays = event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
    if (!stays && event.target.closest("[data-language]")) take();
  });

  setUp(document);
  unpack();
  // A page that was kept as it was left may be long out of date. Its address may be a form's: no reload().
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) location.replace(location.pathname + location.search);
  });
  // Inside a frame of another site, browsers do not heed autofocus.
  const notice = document.querySelector("[data-first]");
  window.addEventListener("load", () => requestAnimationFrame(() => {
    if (document.activeElement === document.body) notice?.focus();
  }));
  if (page.locked) hold();
  // What opens by itself once the shop has checked the order waits for nothing else.
  if (page.watch && page.state !== "loading") watch();
})();
