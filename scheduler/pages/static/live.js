// What every page does: times that tick, refreshes when the farm changes, and dialogs for what asks for a reason.
//
// Rules: 1. A refresh morphs the page: what the reader opened, typed, focused or scrolled stays. 2. At most one refresh
// a second, and none while the tab is hidden: its stream is closed too, since browsers allow few per server.
// 3. Without this script every page still works: links lead to pages, forms to the server.

const AT_MOST_EVERY = 1000;
const feed = document.getElementById("live-feed");
const shownState = document.getElementById("liveness");

// --- times: the same words as scheduler/pages/words.py ---

function two(large, largeUnit, small, smallUnit) {
  return small ? `${large} ${largeUnit} ${small} ${smallUnit}` : `${large} ${largeUnit}`;
}

export function span(seconds) {
  const total = Math.max(0, seconds);
  if (total < 0.9995) return `${Math.round(total * 1000)} ms`;
  if (total < 10) return `${total.toFixed(1)} s`;
  const whole = Math.floor(total);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return two(Math.floor(whole / 60), "min", whole % 60, "s");
  if (whole < 86400) return two(Math.floor(whole / 3600), "h", Math.floor((whole % 3600) / 60), "min");
  return two(Math.floor(whole / 86400), "d", Math.floor((whole % 86400) / 3600), "h");
}

export function distance(seconds) {
  const size = Math.abs(seconds);
  if (size < 5) return seconds >= 0 ? "just now" : "now";
  for (const [unit, length] of [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]]) {
    if (size >= length) return seconds >= 0 ? `${Math.floor(size / length)} ${unit} ago` : `in ${Math.floor(size / length)} ${unit}`;
  }
  return "just now";
}

const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
// The server's clock decides: a reader's wrong clock must not turn "3 s ago" into "in 2 min".
let ahead = 0;

function learnOffset() {
  const now = document.querySelector("main[data-now]");
  if (now) ahead = Date.now() - Date.parse(now.dataset.now);
}

function tick() {
  const now = Date.now() - ahead;
  for (const element of document.querySelectorAll("time[data-show]")) {
    const when = Date.parse(element.dateTime);
    const seconds = (now - when) / 1000;
    const words = element.dataset.show === "ago" ? distance(seconds) : span(Math.floor(Math.max(1, seconds)));
    if (element.textContent !== words) element.textContent = words;
    if (!element.dataset.zoned) {
      element.title = exact.format(when);
      element.dataset.zoned = "1";
    }
  }
}

// --- refreshes ---

let last = 0;
let planned = 0;

async function refresh() {
  planned = 0;
  last = Date.now();
  const main = document.querySelector("main[data-live]");
  if (!main || document.hidden) return;
  await window.htmx.ajax("GET", location.pathname + location.search, { source: main, target: main, select: "#main", swap: "morph:outerHTML" });
}

function changed() {
  if (!planned) planned = setTimeout(refresh, Math.max(0, last + AT_MOST_EVERY - Date.now()));
}

function say(state, words) {
  if (shownState && shownState.dataset.state !== state) {
    shownState.dataset.state = state;
    shownState.textContent = words;
  }
}

function keepWhatTheReaderDid() {
  const mine = window.Idiomorph.defaults;
  mine.ignoreActiveValue = true;
  mine.callbacks.beforeNodeMorphed = (node) => !(node.dataset && "keep" in node.dataset);
  mine.callbacks.beforeAttributeUpdated = (name, node) => !((name === "open" && node.nodeName === "DETAILS") || (node.nodeName === "TIME" && (name === "title" || name === "data-zoned") && node.dataset.zoned));
}

if (feed) {
  const markup = feed.innerHTML;
  document.body.addEventListener("htmx:sseBeforeMessage", (event) => {
    event.preventDefault();
    changed();
  });
  document.body.addEventListener("htmx:sseOpen", () => {
    if (shownState?.dataset.state === "lost") changed();
    say("live", "live");
  });
  document.body.addEventListener("htmx:sseError", () => say("lost", "reconnecting"));
  document.addEventListener("visibilitychange", () => {
    window.htmx.swap(feed, document.hidden ? "" : markup, { swapStyle: "innerHTML", swapDelay: 0, settleDelay: 0 });
    if (!document.hidden) changed();
  });
  window.addEventListener("pagehide", () => window.htmx.swap(feed, "", { swapStyle: "innerHTML", swapDelay: 0, settleDelay: 0 }));
}

document.body.addEventListener("htmx:afterSettle", () => {
  learnOffset();
  tick();
});
document.body.addEventListener("htmx:responseError", (event) => {
  if (event.detail.xhr.status === 401) location.reload();
});

// --- dialogs ---

const dialog = document.getElementById("dialog");

document.addEventListener("click", async (event) => {
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  if (link.hasAttribute("data-close") && dialog.open) {
    event.preventDefault();
    dialog.close();
  } else if (link.hasAttribute("data-dialog")) {
    event.preventDefault();
    await window.htmx.ajax("GET", link.getAttribute("href"), { source: dialog, target: dialog, select: "#confirm", swap: "innerHTML" });
    if (!dialog.querySelector("#confirm")) location.assign(link.href);
    else if (!dialog.open) dialog.showModal();
  }
});
dialog?.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close();
});
dialog?.addEventListener("close", () => dialog.replaceChildren());

// A second click on a button that acts does nothing more.
document.addEventListener("submit", (event) => {
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = "1";
});

// A page that comes back by the back button is an old one.
window.addEventListener("pageshow", (event) => event.persisted && location.reload());

function openWhatTheAddressNames() {
  const named = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (named instanceof HTMLDetailsElement) named.open = true;
}
window.addEventListener("hashchange", openWhatTheAddressNames);

keepWhatTheReaderDid();
learnOffset();
tick();
setInterval(tick, 1000);
openWhatTheAddressNames();
