// Speaks with the shop's page that has this one in a frame or has opened it as a pop-out.
// What is said, and when, is the protocol of the field; see docs/how-to/embed.md.
"use strict";
(() => {
  const { kasse } = window;
  const page = document.body.dataset;
  const { sid, role } = page;
  const inFrame = window.parent !== window;
  const isPopOut = role === "pop_out_payment" && !inFrame && window.opener !== null;
  const isLauncher = role === "pop_out_launcher" && inFrame;
  const peer = inFrame ? window.parent : isPopOut ? window.opener : null;
  const final = page.final && JSON.parse(page.final);
  // Nobody there to tell: the way goes on in this window.
  if (!peer) {
    if (final) kasse.leave(final.href);
    return;
  }
  if (inFrame) document.documentElement.classList.add("inline");

  // -- whom this page speaks with

  // Many browsers let a frame remember nothing.
  const remembered = {
    get: (name) => { try { return sessionStorage.getItem(`${name} ${sid}`); } catch { return null; } },
    set: (name, value) => { try { sessionStorage.setItem(`${name} ${sid}`, value); } catch { /* not allowed */ } },
  };

  // The browser knows a frame's parent; else the first page of this visit was opened by the shop's.
  function shopOrigin() {
    if (inFrame && location.ancestorOrigins?.length) return location.ancestorOrigins[0];
    let origin = remembered.get("shop");
    if (!origin && document.referrer) {
      const from = new URL(document.referrer).origin;
      if (from !== location.origin) origin = from;
    }
    if (origin) remembered.set("shop", origin);
    return origin;
  }

  let origin = shopOrigin();
  let lastId = 0;
  const unheard = new Map();

  // A frame lives no longer than its parent's page, and who may be its parent the browser has checked. A pop-out's
  // opener may have gone elsewhere: unless its origin is known it is told no more than the address says.
  function say(type, fields = {}) {
    const mid = `${Date.now()}-${++lastId}`;
    const message = { type, sid, mid, ...(isPopOut && { context: "popOut" }), ...fields };
    if (!origin && isPopOut) delete message.session;
    peer.postMessage(message, origin || "*");
    return mid;
  }

  window.addEventListener("message", (event) => {
    if (event.source !== peer || (origin && event.origin !== origin)) return;
    const message = event.data;
    if (!message || typeof message !== "object") return;
    if (message.ack) unheard.delete(message.ack);
    if (message.sid !== sid || typeof message.type !== "string") return;
    if (!origin && event.origin !== "null") {
      origin = event.origin;
      remembered.set("shop", origin);
    }
    if (Object.hasOwn(answers, message.type)) answers[message.type](message);
  });

  // -- the session

  async function fetchSession() {
    const reply = await fetch(page.session, { headers: { Accept: "application/json" }, cache: "no-store" });
    if (reply.status === 404) return null;
    if (!reply.ok) throw new Error(`the session could not be loaded: ${reply.status}`);
    return reply.json();
  }

  async function tellSession(type) {
    if (!page.session) return;
    const session = await fetchSession();
    if (session) say(type, { session });
    else say("SessionNotFound");
    placePopOutButton();
  }

  async function refresh() {
    await kasse.refresh();
    await tellSession("SessionUpdated");
  }

  kasse.changed = () => refresh().catch(() => {});
  // The payer has changed something himself, and sees it already.
  kasse.updated = () => tellSession("SessionUpdated").catch(() => {});

  async function lock() {
    if (isPopOut) return kasse.hold();
    try {
      if (kasse.busy || !page.session) throw new Error("the payment has started");
      const reply = await fetch(`${page.session}/lock`, { method: "POST" });
      if (!reply.ok) throw new Error(`not locked: ${reply.status}`);
      const { pay_lock_id } = (await reply.json()).pay_lock;
      kasse.hold();
      placePopOutButton();
      say("SessionLocked", { pay_lock_id });
    } catch {
      say("SessionLockFailed");
    }
  }

  // -- questions to the shop, answered within a minute or not at all

  const PATIENCE = 60000;
  const waiting = new Map();

  function ask(type, fields, answer) {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(null), PATIENCE);
      waiting.set(answer, (message) => {
        clearTimeout(timer);
        resolve(message);
      });
      say(type, fields);
    });
  }

  function answered(message) {
    waiting.get(message.type)?.(message);
    waiting.delete(message.type);
  }

  const { words } = kasse;

  if (page.validate) {
    kasse.before.push(async () => {
      let session;
      try {
        session = await fetchSession();
      } catch {
        return words("offline");
      }
      const result = await ask("ValidateSession", { session }, "ValidationResult");
      if (result === null) return words("silent");
      return result.success ? null : result.clientValidationError || words("refused");
    });
  }

  // The shop's own page asks its server what it costs to send to an address: see express.js.
  if (page.addressCallback) {
    kasse.askForAddress = (session) => ask("AddressCallback", { session }, "AddressCallbackResult");
  }

  // -- the pop-out and its button in the shop's page

  const place = document.querySelector("[data-pop-out-place]");
  const status = document.querySelector("[data-pop-out-status]");
  let isOpen = false;
  let lastPlaced = "";

  function placePopOutButton() {
    if (!isLauncher || !place) return;
    const { top, left, right, height, width } = place.getBoundingClientRect();
    const style = getComputedStyle(place);
    const disabled = isOpen || Boolean(kasse.held);
    const mine = (name) => style.getPropertyValue(name).trim();
    // What cannot be pressed looks so. There is no opacity among the styles.
    const background = disabled ? `color-mix(in srgb, ${style.backgroundColor} 60%, ${mine("--surface")})` : style.backgroundColor;
    const look = {
      top: String(top + scrollY),
      left: String(left),
      right: String(document.documentElement.clientWidth - right),
      disabled: String(disabled),
      styles: {
        width: `${width}px`,
        height: `${height}px`,
        font: style.font,
        color: style.color,
        background,
        textAlign: style.textAlign,
        padding: style.padding,
        margin: "0",
        border: style.border,
        borderRadius: style.borderRadius,
        cursor: disabled ? "default" : "pointer",
        fontWeight: style.fontWeight,
        lineHeight: style.lineHeight,
        transition: style.transition,
        outline: style.outline,
      },
    };
    const { open, focus, close, description } = place.dataset;
    const message = {
      openLabel: open,
      focusLabel: focus,
      closeLabel: close,
      descriptionLabel: description,
      language: page.language,
      stylesHover: { background: mine("--accent-strong") || style.backgroundColor },
      stylesFocusVisible: { outline: `3px solid ${style.backgroundColor}`, outlineOffset: "2px" },
      ...look,
    };
    const now = JSON.stringify(message);
    if (now !== lastPlaced) say("ShowPopOutButton", message);
    lastPlaced = now;
  }

  function tellPopOut(text, open) {
    isOpen = kasse.away = open;
    if (status) status.textContent = text;
    placePopOutButton();
  }

  // -- what the shop says

  const answers = {
    LockSession: lock,
    RefreshSession: () => (isPopOut ? kasse.refresh() : refresh()).catch(() => {}),
    ValidationResult: (message) => {
      answered(message);
      if (isLauncher && !message.success) kasse.tell(message.clientValidationError || words("refused"));
    },
    AddressCallbackResult: answered,
    SetActivePaymentProductType: (message) => kasse.choose?.(message.payment_product_type),
    SetLanguage: ({ language }) => {
      if (typeof language !== "string" || language === page.language || !page.view) return;
      const address = new URL(page.view, location.href);
      address.searchParams.set("language", language);
      kasse.take();
      kasse.leave(address);
    },
    ValidatingPopOut: () => tellPopOut(status?.dataset.validating ?? "", true),
    OpenedPopOut: () => {
      kasse.tell("");
      tellPopOut(status?.dataset.opened ?? "", true);
    },
    OpenPopOutFailed: () => {
      say("HidePopOutButton");
      if (page.inlineView) kasse.leave(page.inlineView);
    },
    ClosedPopOut: () => {
      isOpen = kasse.away = false;
      if (status) status.textContent = "";
      // The button comes back once it is known that there still is something to pay.
      kasse.changed();
    },
  };

  // -- what this page says by itself

  kasse.chosen = (type) => say("ActivePaymentProductType", { payment_product_type: type });

  // A page that has told the end is going to be replaced: whoever does not listen gets a link.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-back]");
    if (!link || final) return;
    event.preventDefault();
    const error = link.dataset.back;
    say(error ? "SessionPaymentError" : "SessionCancel", { ...(error && { error }), href: link.href });
  });

  // Of links that cannot be shown in a frame the shop's window is told; one that does not heed is taken along.
  for (const link of document.querySelectorAll("a[data-leave]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      const mid = say("TopLevelNavigation", { href: link.href });
      unheard.set(mid, link);
      setTimeout(() => { if (unheard.has(mid)) window.open(link.href, "_top"); }, 300);
    });
  }

  if (isPopOut) say("AppLoaded");
  say("LanguageChanged", { language: page.language });
  if (inFrame) {
    let lastHeight = -1;
    new ResizeObserver(() => {
      const height = Math.ceil(document.body.getBoundingClientRect().height);
      if (height !== lastHeight) say("HeightChanged", { height });
      lastHeight = height;
      placePopOutButton();
    }).observe(document.body);
    window.addEventListener("resize", placePopOutButton);
    // Another step is what comes after a page of our own.
    if (document.referrer.startsWith(`${location.origin}/`)) say("ScrollToTop");
  }
  if (page.result || (isLauncher && !place)) say("HidePopOutButton");
  if (page.result) return;
  if (final) {
    const { type, ...fields } = final;
    say(type, fields);
  } else if (page.state === "expired" || page.state === "not_found") {
    say("SessionNotFound");
  } else if (!page.loading) {
    tellSession("SessionLoaded").catch(() => {});
  }
})();
