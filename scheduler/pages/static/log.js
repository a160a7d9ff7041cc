// A job's log: the last lines first, then what arrives, folded by step.
//
// Rules: 1. Bytes of a log are text, never markup: ansi_up only splits them into coloured pieces. 2. The page holds at most
// MOST lines of a log; earlier ones are loaded when asked for. 3. Following ends when the reader scrolls up, and only then.
// 4. A hidden tab holds no stream; it goes on where it was. 5. At most three logs stream at a time. 6. The server searches: it
// has the whole log, the page has not. 7. A line's time is when its first byte came to the server.

import { AnsiUp } from "./vendor/ansi_up.js";
import { span } from "./live.js";

const MOST = 4000;
const PART = 1500;
const LONGEST_LINE = 20000;
const STREAMS = 3;
const HITS = 200;
const encoder = new TextEncoder();
const views = new Map();
let streaming = [];

// Pieces instead of HTML: the one method that would build markup keeps what it was given.
class Pieces extends AnsiUp {
  constructor() {
    super();
    this.pieces = [];
  }
  transform_to_html(piece) {
    this.pieces.push(piece);
    return "";
  }
  process_hyperlink(packet) {
    this.pieces.push(this.with_state({ text: packet.text }));
    return "";
  }
  of(text) {
    this.pieces = [];
    this.ansi_to_html(text);
    // What looks like an unfinished sequence must not swallow the next line.
    this._buffer = "";
    return this.pieces;
  }
}

const NAMES = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

function paint(element, colour, prefix, property) {
  if (!colour) return;
  const index = NAMES.indexOf((colour.class_name || "").replace("ansi-", "").replace("bright-", ""));
  if (index >= 0) element.classList.add(prefix + index);
  else element.style[property] = `rgb(${colour.rgb.join(",")})`;
}

function drawText(into, text, ansi) {
  const visible = text.replace(/\r+$/, "");
  const overwritten = visible.slice(visible.lastIndexOf("\r") + 1);
  const cut = overwritten.length > LONGEST_LINE ? `${overwritten.slice(0, LONGEST_LINE)} … (${overwritten.length - LONGEST_LINE} more characters: see the raw log)` : overwritten;
  into.replaceChildren();
  for (const piece of ansi.of(cut)) {
    if (!piece.fg && !piece.bg && !piece.bold && !piece.faint && !piece.italic && !piece.underline) {
      into.append(piece.text);
      continue;
    }
    const part = document.createElement("span");
    part.textContent = piece.text;
    paint(part, piece.fg, "fg", "color");
    paint(part, piece.bg, "bg", "backgroundColor");
    if (piece.bold) part.classList.add("b");
    if (piece.faint) part.classList.add("f");
    if (piece.italic) part.classList.add("it");
    if (piece.underline) part.classList.add("u");
    into.append(part);
  }
}

function make(name, className, text) {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

class LogView {
  constructor(root) {
    this.root = root;
    this.view = root.querySelector(".view");
    this.said = root.querySelector(".state");
    this.follow = root.querySelector(".follow");
    this.show = root.querySelector(".show");
    this.name = root.dataset.name;
    this.steps = new Map();
    this.hits = root.querySelector(".hits");
    this.times = [];
    const clock = root.querySelector(".times");
    clock.addEventListener("click", () => clock.setAttribute("aria-pressed", String(this.view.classList.toggle("timed"))));
    const form = root.querySelector(".search");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.search(form.elements.q.value);
    });
    form.elements.q.addEventListener("input", () => form.elements.q.value || this.forget());
    this.follow.addEventListener("click", () => this.setFollow(this.follow.getAttribute("aria-pressed") !== "true"));
    this.show.addEventListener("click", () => (this.view.hidden ? this.open() : this.close()));
    this.view.addEventListener("wheel", (event) => event.deltaY < 0 && this.setFollow(false), { passive: true });
    this.view.addEventListener("touchmove", () => this.atEnd() || this.setFollow(false), { passive: true });
    this.view.addEventListener("keydown", (event) => ["PageUp", "ArrowUp", "Home"].includes(event.key) && this.setFollow(false));
    this.view.addEventListener("scroll", () => this.live && this.atEnd() && this.setFollow(true), { passive: true });
  }

  reset() {
    this.ansi = new Pieces();
    this.view.replaceChildren();
    this.count = 0;
    this.times = [];
    this.queue = [];
    this.rest = "";
    this.open_line = null;
    this.fold = null;
  }

  async open(target = 0) {
    this.view.hidden = false;
    this.show.textContent = "Hide log";
    this.show.setAttribute("aria-expanded", "true");
    this.reset();
    const part = await this.fetchPart(target ? target + 200 : 0);
    if (!part) return;
    this.take(part);
    this.end = part.end;
    this.number = part.next_line;
    this.live = !part.complete && part.at_end;
    this.follow.hidden = !this.live;
    this.addButtons(part);
    this.told();
    this.view.classList.toggle("short", !this.live);
    if (target) this.point(target);
    else if (this.live) this.setFollow(true);
    else this.view.scrollTop = this.view.scrollHeight;
    if (this.live) this.listen();
  }

  close() {
    this.stop();
    this.live = false;
    this.view.hidden = true;
    this.follow.hidden = true;
    this.show.textContent = "Show log";
    this.show.setAttribute("aria-expanded", "false");
  }

  async fetchPart(upto) {
    const address = `${this.root.dataset.part}?attempt=${this.root.dataset.attempt}&lines=${PART}${upto ? `&upto=${upto}` : ""}`;
    try {
      const answer = await fetch(address, { headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
      return await answer.json();
    } catch (error) {
      this.said.textContent = `The log could not be loaded: ${error.message}`;
      return null;
    }
  }

  take(part) {
    this.timed(part.times);
    this.cut = !part.at_end;
    for (const step of part.steps) this.steps.set(step.number, step);
    for (const [number, offset, text] of part.lines) this.draw(number, offset, text);
    this.first = part.lines.length ? part.lines[0][0] : part.next_line;
    if (part.rest) {
      this.rest = part.rest;
      this.drawRest(part.next_line, part.rest_offset);
    }
    this.restOffset = part.rest_offset;
    this.nameFolds();
  }

  addButtons(part) {
    if (this.first > 1) {
      const more = make("button", "more", `Load earlier lines (${this.first - 1} above)`);
      more.type = "button";
      more.addEventListener("click", () => this.earlier(more));
      this.view.prepend(more);
    }
    if (!part.at_end) {
      const later = make("button", "more", "Jump to the end");
      later.type = "button";
      later.addEventListener("click", () => this.open());
      this.view.append(later);
    }
  }

  async earlier(button) {
    button.disabled = true;
    const part = await this.fetchPart(this.first - 1);
    if (!part) return;
    button.remove();
    const height = this.view.scrollHeight - this.view.scrollTop;
    const kept = [...this.view.childNodes];
    const [ansi, fold] = [this.ansi, this.fold];
    this.ansi = new Pieces();
    this.fold = null;
    this.view.replaceChildren();
    this.timed(part.times);
    for (const [number, offset, text] of part.lines) this.draw(number, offset, text);
    const seam = this.fold;
    this.view.append(...kept);
    // A step whose lines stand on both sides of the seam is one fold again.
    const next = kept.find((node) => node.dataset && node.dataset.step !== undefined);
    if (seam && next && seam.dataset.step === next.dataset.step) {
      const summary = next.querySelector("summary");
      seam.append(...[...next.childNodes].filter((node) => node !== summary));
      this.fold = fold === next ? seam : fold;
      next.remove();
    } else this.fold = fold;
    this.ansi = ansi;
    this.first = part.lines.length ? part.lines[0][0] : 1;
    this.addButtons({ at_end: true });
    this.nameFolds();
    this.view.scrollTop = this.view.scrollHeight - height;
  }

  stepAt(offset) {
    let found = null;
    for (const step of this.steps.values()) {
      if (step.log_offset !== null && step.log_offset <= offset && (!found || step.log_offset >= found.log_offset)) found = step;
    }
    return found;
  }

  foldAt(offset) {
    const step = this.stepAt(offset);
    const key = step ? String(step.number) : "";
    if (this.fold && this.fold.dataset.step === key) return this.fold;
    const fold = make(step ? "details" : "div");
    fold.dataset.step = key;
    if (step) {
      fold.open = true;
      const summary = make("summary");
      summary.append(make("span", "mark"), make("span", "name clip", step.name), make("span", "end"));
      fold.append(summary);
      this.ansi = new Pieces();
    }
    this.view.append(fold);
    this.fold = fold;
    this.nameFolds();
    return fold;
  }

  nameFolds() {
    for (const fold of this.view.querySelectorAll("details[data-step]")) {
      const step = this.steps.get(Number(fold.dataset.step));
      if (!step) continue;
      const [mark, , end] = fold.firstChild.children;
      const tone = { passed: "good", failed: "bad", running: "busy" }[step.state] || "quiet";
      mark.className = `mark ${tone}`;
      mark.textContent = { passed: "✓ passed", failed: "✗ failed", running: "● running", skipped: "– skipped" }[step.state] || step.state;
      const took = step.started_at && step.finished_at ? span((Date.parse(step.finished_at) - Date.parse(step.started_at)) / 1000) : "";
      const began = step.started_at ? new Date(step.started_at).toLocaleTimeString() : "";
      end.textContent = [step.exit_code === null || step.exit_code === undefined ? "" : `exit ${step.exit_code}`, began, took].filter(Boolean).join(" · ");
    }
  }

  // Marks come in pieces that are each in order; the newest knowledge of an offset wins.
  timed(marks) {
    if (!marks || !marks.length) return;
    const [from, to] = [marks[0][0], marks[marks.length - 1][0]];
    this.times = [...this.times.filter(([at]) => at < from || at > to), ...marks].sort((a, b) => a[0] - b[0]).slice(-20000);
  }

  timeAt(offset) {
    let [low, high] = [0, this.times.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.times[middle][0] <= offset) low = middle + 1;
      else high = middle;
    }
    return low ? new Date(this.times[low - 1][1]) : null;
  }

  line(number, offset) {
    const row = make("div", "l");
    row.id = `${this.name}-L${number}`;
    const came = this.timeAt(offset);
    if (came) {
      row.dataset.at = came.toLocaleTimeString([], { hour12: false });
      row.title = came.toLocaleString();
    }
    const anchor = make("a", "", String(number));
    anchor.href = `#${row.id}`;
    row.append(anchor, make("span"));
    this.foldAt(offset).append(row);
    this.count += 1;
    return row;
  }

  draw(number, offset, text) {
    drawText(this.line(number, offset).lastChild, text, this.ansi);
  }

  drawRest(number, offset) {
    if (!this.open_line) this.open_line = this.line(number, offset);
    const copy = new Pieces();
    drawText(this.open_line.lastChild, this.rest.slice(-LONGEST_LINE), copy);
  }

  // --- what arrives ---

  listen() {
    this.stop();
    while (streaming.length >= STREAMS) streaming[0].pause();
    streaming.push(this);
    const source = new EventSource(`${this.root.dataset.stream}?attempt=${this.root.dataset.attempt}&offset=${this.end}`);
    this.source = source;
    source.addEventListener("chunk", (event) => this.arrived(JSON.parse(event.data), Number(event.lastEventId)));
    source.addEventListener("step", (event) => {
      const step = JSON.parse(event.data);
      this.steps.set(step.number, step);
      this.nameFolds();
    });
    source.addEventListener("end", () => {
      this.stop();
      this.flush();
      this.live = false;
      this.follow.hidden = true;
      this.told();
    });
    source.addEventListener("open", () => this.told());
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED && this.source === source) {
        this.said.textContent = "the stream ended; trying again";
        setTimeout(() => this.live && this.source === source && this.listen(), 3000);
      } else this.said.textContent = "reconnecting";
    });
  }

  stop() {
    this.source?.close();
    this.source = null;
    streaming = streaming.filter((other) => other !== this);
  }

  pause() {
    this.stop();
    this.setFollow(false);
    this.said.textContent = "paused: too many logs are open; follow to go on";
  }

  arrived(chunk, next) {
    this.timed(chunk.times);
    const bytes = encoder.encode(chunk.text).length;
    const end = chunk.end ?? (next > chunk.offset ? next : chunk.offset + bytes);
    if (end <= this.end) return;
    this.end = end;
    this.queue.push(chunk);
    if (!this.planned) this.planned = requestAnimationFrame(() => this.flush());
  }

  flush() {
    cancelAnimationFrame(this.planned);
    this.planned = 0;
    for (const { offset, text } of this.queue) {
      let at = offset;
      const lines = text.split("\n");
      const last = lines.pop();
      for (const piece of lines) {
        const whole = this.rest + piece;
        if (this.open_line) {
          drawText(this.open_line.lastChild, whole, this.ansi);
          this.open_line = null;
        } else this.draw(this.number, at, whole);
        at += encoder.encode(piece).length + 1;
        this.rest = "";
        this.number += 1;
      }
      if (last) {
        // A line of many megabytes without an end is not kept whole here.
        this.rest = this.rest.length > LONGEST_LINE * 2 ? this.rest : this.rest + last;
        this.drawRest(this.number, at);
      }
    }
    this.queue = [];
    this.trim();
    this.told();
    if (this.following) this.view.scrollTop = this.view.scrollHeight;
  }

  trim() {
    if (this.count <= (this.following ? MOST : MOST * 3)) return;
    const rows = this.view.querySelectorAll(".l");
    const excess = this.count - MOST;
    for (let i = 0; i < excess; i += 1) rows[i].remove();
    this.count = MOST;
    this.first = Number(rows[excess].firstChild.textContent);
    for (const fold of this.view.querySelectorAll("[data-step]")) if (!fold.querySelector(".l")) fold.remove();
    this.view.querySelector(".more")?.remove();
    this.addButtons({ at_end: true });
  }

  told() {
    const lines = Math.max(0, this.number - 1 + (this.rest ? 1 : 0));
    this.said.textContent = this.cut ? `up to line ${lines}` : `${lines} ${lines === 1 ? "line" : "lines"}${this.live ? ", live" : ""}`;
  }

  // --- searching ---

  forget() {
    this.asked = null;
    this.hits.hidden = true;
    this.hits.replaceChildren();
  }

  async search(text) {
    this.forget();
    if (!text) return;
    const asked = (this.asked = { text, count: 0 });
    const said = make("p", "said", "searching");
    said.setAttribute("role", "status");
    const list = make("ol");
    this.hits.replaceChildren(said, list);
    this.hits.hidden = false;
    let [offset, line] = [0, 1];
    while (offset !== null && this.asked === asked && asked.count < HITS) {
      const query = new URLSearchParams({ q: text, attempt: this.root.dataset.attempt, offset, line, limit: HITS - asked.count });
      let found;
      try {
        const answer = await fetch(`${this.root.dataset.search}?${query}`, { headers: { Accept: "application/json" } });
        if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
        found = await answer.json();
      } catch (error) {
        said.textContent = `The log could not be searched: ${error.message}`;
        return;
      }
      if (this.asked !== asked) return;
      for (const match of found.matches) list.append(this.hit(match));
      asked.count += found.matches.length;
      [offset, line] = [found.next_offset, found.next_line];
      said.textContent = offset === null ? this.counted(asked.count) : `${this.counted(asked.count)} up to line ${line - 1}, searching on`;
    }
    if (offset !== null && this.asked === asked) said.textContent = `the first ${asked.count} lines, up to line ${line - 1}: ask for something rarer`;
  }

  counted(count) {
    return count ? `${count} ${count === 1 ? "line" : "lines"}` : "nothing found";
  }

  hit(match) {
    const item = make("li");
    const anchor = make("a");
    anchor.href = `#${this.name}-L${match.line}`;
    const text = [...match.text];
    const part = (from, to) => text.slice(from, to).join("");
    anchor.append(make("span", "n", String(match.line)), part(0, match.at), make("mark", "", part(match.at, match.at + match.length)), part(match.at + match.length));
    // The same line again: the address does not change, so nobody else hears of it.
    anchor.addEventListener("click", () => decodeURIComponent(location.hash) === anchor.getAttribute("href") && this.go(match.line));
    item.append(anchor);
    return item;
  }

  go(number) {
    if (!this.point(number)) this.open(number);
  }

  // --- where the reader is ---

  atEnd() {
    return this.view.scrollHeight - this.view.scrollTop - this.view.clientHeight < 24;
  }

  setFollow(on) {
    if (!this.live) return;
    this.following = on;
    this.follow.setAttribute("aria-pressed", String(on));
    this.follow.textContent = on ? "Following" : "Follow";
    if (!on) return;
    this.view.scrollTop = this.view.scrollHeight;
    if (!this.source) this.listen();
  }

  point(number) {
    for (const other of document.querySelectorAll(".l.target")) other.classList.remove("target");
    const row = document.getElementById(`${this.name}-L${number}`);
    if (!row) return false;
    this.setFollow(false);
    const fold = row.closest("details");
    if (fold) fold.open = true;
    row.classList.add("target");
    row.scrollIntoView({ block: "center" });
    return true;
  }
}

function named() {
  const found = /^#(.+)-L(\d+)$/.exec(decodeURIComponent(location.hash));
  return found ? { name: found[1], number: Number(found[2]) } : null;
}

function begin() {
  const wanted = named();
  for (const root of document.querySelectorAll(".log[data-job]")) {
    if (views.has(root)) continue;
    const view = new LogView(root);
    views.set(root, view);
    if (wanted && wanted.name === root.dataset.name) view.open(wanted.number);
    else if (!wanted && "unfold" in root.dataset) view.open();
  }
}

window.addEventListener("hashchange", () => {
  const wanted = named();
  for (const view of views.values()) {
    if (wanted && view.name === wanted.name && view.root.isConnected) view.go(wanted.number);
  }
});
document.addEventListener("visibilitychange", () => {
  for (const view of views.values()) {
    if (document.hidden) view.stop();
    else if (view.live && !view.view.hidden) view.listen();
  }
});
window.addEventListener("pagehide", () => views.forEach((view) => view.stop()));
// A refresh may bring a log that was not there, or take one away.
document.body.addEventListener("htmx:afterSettle", () => {
  for (const [root, view] of views) {
    if (!root.isConnected) {
      view.stop();
      views.delete(root);
    }
  }
  begin();
});
begin();
