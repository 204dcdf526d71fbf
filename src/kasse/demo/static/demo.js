// Embeds the payment page as a shop does with the field's browser SDK, which is not part of Kasse: the same addresses and
// the same messages, as far as this shop needs them. See docs/how-to/embed.md.
"use strict";
(() => {
  const place = document.getElementById("checkout");
  const said = document.getElementById("said");
  const { sid, way } = place.dataset;
  const endpoint = location.origin;
  const frame = document.createElement("iframe");
  let button = null;
  let popOut = null;
  let loaded = () => {};
  let over = false;
  let language = null;

  function address(more) {
    return `${endpoint}/?${new URLSearchParams({ sdk: "kasse-demo", sid, ...(language && { language }), ...more })}`;
  }

  function note(who, message) {
    const line = document.createElement("li");
    const details = Object.entries(message).filter(([name]) => !["type", "sid", "mid", "session", "styles"].includes(name));
    line.textContent = `${who}: ${message.type || "ack"} ${details.length ? JSON.stringify(Object.fromEntries(details)) : ""}`;
    said.append(line);
  }

  function say(target, message) {
    note("shop", message);
    target.postMessage({ sid, ...message }, endpoint);
  }

  function end(message) {
    if (over) return;
    over = true;
    popOut?.close();
    button?.remove();
    const result = new URLSearchParams({ sid, sdk: "kasse-demo" });
    if (language) result.set("language", language);
    for (const name of ["merchant_reference", "transaction_id", "error"]) if (message[name]) result.set(name, message[name]);
    frame.src = `${endpoint}/embedResult/?${result}`;
    location.assign(message.href);
  }

  function openPopOut() {
    const size = `width=${Math.min(480, screen.width)},height=${Math.min(840, screen.height)}`;
    popOut = window.open(address({ ui: "fullscreen", role: "pop_out_payment" }), "kasse-demo", size);
    if (!popOut) return say(frame.contentWindow, { type: "OpenPopOutFailed" });
    const failed = setTimeout(() => { popOut?.close(); say(frame.contentWindow, { type: "OpenPopOutFailed" }); }, 10000);
    loaded = () => { clearTimeout(failed); say(frame.contentWindow, { type: "OpenedPopOut" }); };
    const watch = setInterval(() => {
      if (popOut && !popOut.closed) return;
      clearInterval(watch);
      clearTimeout(failed);
      popOut = null;
      if (!over) say(frame.contentWindow, { type: "ClosedPopOut" });
    }, 200);
  }

  function showButton(message) {
    if (!button) {
      button = document.createElement("button");
      button.addEventListener("click", openPopOut);
      place.append(button);
    }
    button.textContent = message.openLabel;
    button.disabled = message.disabled === "true";
    // The place within the frame is told in pixels, without the unit.
    const [top, left, right] = [message.top, message.left, message.right].map((length) => `${length}px`);
    Object.assign(button.style, message.styles, { top, left, right });
  }

  // The pop-out speaks as the frame does, and the other way round.
  function speak(message, source) {
    language = message.language;
    if (source === popOut) say(frame.contentWindow, { type: "SetLanguage", language });
  }

  const answers = {
    HeightChanged: ({ height }) => { frame.style.height = `${height}px`; },
    LanguageChanged: speak,
    ScrollToTop: () => frame.scrollIntoView(),
    TopLevelNavigation: ({ href }) => location.assign(href),
    SessionNotFound: () => location.assign("/demo/"),
    ShowPopOutButton: showButton,
    HidePopOutButton: () => { button?.remove(); button = null; },
    AppLoaded: () => loaded(),
    SessionPaymentAuthorized: end,
    SessionPaymentOnHold: end,
    SessionPaymentError: end,
    SessionCancel: end,
  };

  window.addEventListener("message", (event) => {
    const message = event.data;
    const known = event.source === frame.contentWindow || (popOut && event.source === popOut);
    if (event.origin !== endpoint || !known || message?.sid !== sid) return;
    note(event.source === popOut ? "pop-out" : "page", message);
    if (message.mid) event.source.postMessage({ ack: message.mid }, endpoint);
    if (Object.hasOwn(answers, message.type)) answers[message.type](message, event.source);
  });

  frame.title = "Payment";
  frame.allow = "payment; clipboard-write";
  frame.src = address({ ui: "inline", ...(way === "pop_out" && { role: "pop_out_launcher" }) });
  place.append(frame);
})();
