// What the page does: asks, shows sources, keeps documents. It uses the API that programs use, and no other.
// Whatever people, documents and models say enters the page as text, never as HTML.

const KEY = "rag-api-key";
const CONTEXT = 400; // code points before and after a quote
const PAGE = 50; // documents
const MOST_TURNS = 198; // before a question: the API takes 200, and each question has its answer
const MOST_CHARACTERS = 120_000; // of them: the API takes 1 MiB, and JSON writes some characters as six bytes
const LOOK_EVERY_MS = 1500;
const REFUSALS = {
  no_evidence: "nothing that fits the question was found in the documents",
  insufficient: "what was found does not suffice to answer the question",
  unverified: "what the model wrote did not hold against the documents",
};

const byId = (id) => document.getElementById(id);
const chosen = () => byId("collection").value;
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Make an element; children that are strings become text. */
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// The API

/** What the API, or the way to it, says is wrong. */
class Problem extends Error {
  constructor(title, detail, status = 0) {
    super(detail);
    Object.assign(this, { title, detail, status });
  }
}

/** Return the response; throws a Problem where it is no success. */
async function call(path, options = {}) {
  const key = sessionStorage.getItem(KEY);
  const headers = { ...options.headers, ...(key && { Authorization: `Bearer ${key}` }) };
  const response = await reach(path, { ...options, headers });
  if (!response.ok) throw await problemOf(response);
  return response;
}

async function callJson(path, options) {
  return (await call(path, options)).json();
}

async function reach(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The service can not be reached", "Look whether it runs, and try again.");
  }
}

async function problemOf(response) {
  const body = await response.json().catch(() => null); // a proxy's error is no JSON
  const title = body?.title ?? `The service answered ${response.status}`;
  return new Problem(title, body?.detail ?? response.statusText, response.status);
}

/** Yield the server-sent events of a response as {event, data}, without comments, which are heartbeats. */
async function* eventsOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let part = await readOn(reader); !part.done; part = await readOn(reader)) {
    const blocks = (rest + part.value).split("\n\n");
    rest = blocks.pop();
    yield* blocks.map(parseEvent).filter((event) => event.data !== undefined);
  }
}

/** A connection that breaks ends the events early, as one that is closed does. */
async function readOn(reader) {
  try {
    return await reader.read();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return { done: true };
  }
}

function parseEvent(block) {
  const fields = block.split("\n").map((line) => /^(\w+): ?(.*)$/s.exec(line));
  return Object.fromEntries(fields.filter(Boolean).map(([, name, value]) => [name, value]));
}

// What is wrong

function problemBox(error, about = "") {
  const title = error.title ?? "The page failed";
  const heading = element("strong", { textContent: about ? `${about}: ${title}. ` : `${title}. ` });
  return element("p", { className: "problem" }, heading, error.detail ?? error.message);
}

/** Show what is wrong with the page as a whole; a missing or weak key can be given at once. */
function notify(error) {
  byId("notice").replaceChildren(problemBox(error));
  offerKey(error);
}

function offerKey(error) {
  if (error.status === 401 || error.status === 403) byId("key-form").hidden = false;
}

/** Do what a control stands for; `notify` tells what goes wrong. */
async function attempt(work) {
  byId("notice").replaceChildren();
  try {
    await work();
  } catch (error) {
    notify(error);
  }
}

// Questions and answers

let turns = []; // what was asked and answered, as the API takes it
let asking = null; // aborts the answer that is being written

async function ask(question) {
  const turn = openTurn(question);
  asking = new AbortController();
  showAsking();
  try {
    const answer = await streamAnswer(turn, question, asking.signal);
    turns.push({ role: "user", content: question }, { role: "assistant", content: answer.answer });
    showAnswer(turn, answer);
  } catch (error) {
    showFailure(turn, question, error);
  }
  asking = null;
  showAsking();
  turn.box.ariaBusy = "false";
}

/** Show what comes while it comes, and return the whole, checked answer. */
async function streamAnswer(turn, question, signal) {
  const messages = [...latestTurns(), { role: "user", content: question }];
  const body = JSON.stringify({ messages, collections: [chosen()], stream: true });
  const headers = { "Content-Type": "application/json" };
  const response = await call("v1/answers", { method: "POST", headers, body, signal });
  for await (const { event, data } of eventsOf(response)) {
    if (event === "done") return JSON.parse(data);
    SHOW[event]?.(turn, JSON.parse(data));
  }
  throw new Problem("The answer broke off", "The connection ended before it did; ask again.");
}

/** Return the latest turns, as many as the API takes with a question; a question goes with its answer. */
function latestTurns() {
  let first = Math.max(0, turns.length - MOST_TURNS);
  const size = () => turns.slice(first).reduce((total, { content }) => total + content.length, 0);
  while (size() > MOST_CHARACTERS) first += 2;
  return turns.slice(first);
}

const SHOW = {
  retrieval: (turn, { passages }) => {
    turn.status.textContent = `${passages.length} passages found; writing…`;
  },
  tool_call: (turn, tool) => turn.tools.append(toolLine(tool)),
  delta: (turn, { kind, text }) => kind !== "reasoning" && turn.text.append(text),
  error: (_turn, { title, detail, status }) => {
    throw new Problem(title, detail, status);
  },
};

/** Show a question with room for its answer; what is read aloud waits until the answer is complete. */
function openTurn(question) {
  const turn = {
    text: element("p", { className: "text" }),
    tools: element("ul", { className: "tools", ariaLabel: "Tools used" }),
    status: element("p", { className: "status", textContent: "Searching…" }),
    source: element("div"),
  };
  const heading = element("h3", { textContent: question });
  const parts = [heading, turn.text, turn.tools, turn.status, turn.source];
  turn.box = element("article", { className: "turn", ariaBusy: "true" }, ...parts);
  byId("conversation").append(turn.box);
  turn.box.scrollIntoView({ block: "nearest" });
  return turn;
}

function showAnswer(turn, answer) {
  turn.text.replaceChildren(...withCitations(turn, answer));
  turn.tools.replaceChildren(...answer.tool_calls.map(toolLine));
  const seconds = (answer.timings_ms.total / 1000).toFixed(1);
  turn.status.textContent = `${answer.model}, ${seconds} s`;
  if (answer.refusal) showRefusal(turn, answer.refusal.reason);
}

function showRefusal(turn, reason) {
  const text = `No answer: ${REFUSALS[reason] ?? "the service refused"} (${reason}).`;
  turn.text.before(element("p", { className: "refusal", textContent: text }));
}

function showFailure(turn, question, error) {
  if (turn.box.isConnected) byId("question").value ||= question; // to be asked again
  if (error.name === "AbortError") {
    turn.status.textContent = "Stopped.";
    return;
  }
  turn.status.replaceWith(problemBox(error));
  offerKey(error);
}

function toolLine({ tool, input, output }) {
  const result = element("span", { className: "text", textContent: output });
  return element("li", {}, `${tool}: ${input} → `, result);
}

function showAsking() {
  byId("ask").disabled = asking !== null;
  byId("stop").hidden = asking === null;
}

function startAnew() {
  asking?.abort();
  turns = [];
  byId("conversation").replaceChildren();
  byId("question").focus();
}

// Sources

/** Return the answer's text in pieces, its markers as links to what they stand for. */
function withCitations(turn, answer) {
  const citations = new Map(answer.citations.map((citation) => [`[${citation.id}]`, citation]));
  return answer.answer
    .split(/(\[\d+\])/)
    .map((piece) => (citations.has(piece) ? citationLink(turn, citations.get(piece)) : piece));
}

function citationLink(turn, citation) {
  const label = `Source ${citation.id}: ${citation.document_title}`;
  const names = { ariaLabel: label, title: label };
  const link = element("a", { href: "#", textContent: `[${citation.id}]`, ...names });
  link.addEventListener("click", (event) => {
    event.preventDefault();
    showSource(turn.source, link, citation);
  });
  return link;
}

/** Show the quote at once, and its surroundings as soon as the document is there. */
async function showSource(place, link, citation) {
  const text = element("p", { className: "context", tabIndex: 0, ariaLabel: "Quote in its context" });
  text.append(element("mark", { textContent: citation.quote }));
  const box = sourceBox(link, citation, text);
  place.replaceChildren(box);
  box.firstChild.focus();
  try {
    text.replaceChildren(...inContext(await contentOf(citation.document_id), citation));
    text.querySelector("mark").scrollIntoView({ block: "center" });
  } catch (error) {
    text.after(problemBox(error));
  }
}

function sourceBox(link, citation, text) {
  const page = citation.page === null ? "" : `, page ${citation.page}`;
  const title = `[${citation.id}] ${citation.document_title}${page}`;
  const heading = element("h4", { tabIndex: -1, textContent: title });
  const close = element("button", { type: "button", textContent: "Close the source" });
  const box = element("section", { className: "source", ariaLabel: title }, heading, text, close);
  close.addEventListener("click", () => {
    box.remove();
    link.focus();
  });
  return box;
}

/** Return a document's text exactly: `Response.text()` would drop a byte order mark, and move all offsets. */
async function contentOf(documentId) {
  const response = await call(`v1/documents/${encodeURIComponent(documentId)}/content`);
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(await response.arrayBuffer());
}

function inContext(content, { source_start: from, source_end: to, quote }) {
  const [before, start, end, after] = [from - CONTEXT, from, to, to + CONTEXT].map((count) =>
    utf16Index(content, count),
  );
  if (content.slice(start, end) !== quote) {
    throw new Problem("The document has changed", "The quote is from an earlier version of it.");
  }
  const mark = element("mark", { textContent: quote });
  const dots = [before > 0 ? "… " : "", after < content.length ? " …" : ""];
  return [dots[0] + content.slice(before, start), mark, content.slice(end, after) + dots[1]];
}

/** Return where code point `count` begins: the service counts these, JavaScript the halves of a pair too. */
function utf16Index(text, count) {
  let index = 0;
  for (let passed = 0; passed < count && index < text.length; passed += 1) {
    index += text.codePointAt(index) > 0xffff ? 2 : 1;
  }
  return index;
}

// Collections and documents

const rows = new Map(); // the shown documents' rows by id
const pending = new Set(); // ids of those that are not read yet
let watching = false;

async function start() {
  await loadCollections();
  await reloadDocuments();
}

async function loadCollections() {
  const names = [];
  for (let cursor = ""; cursor !== null; ) {
    const page = await callJson(`v1/collections?${new URLSearchParams(cursor ? { cursor } : {})}`);
    names.push(...page.data.map(({ name }) => name));
    cursor = page.next_cursor;
  }
  const before = chosen();
  if (names.length) byId("collection").replaceChildren(...names.map((name) => new Option(name)));
  byId("collection").value = names.includes(before) ? before : chosen();
}

async function reloadDocuments() {
  rows.clear();
  pending.clear();
  byId("documents").replaceChildren();
  await loadDocuments("");
}

async function loadDocuments(cursor) {
  const collection = chosen();
  const query = new URLSearchParams({ collection, limit: PAGE, ...(cursor && { cursor }) });
  const page = await callJson(`v1/documents?${query}`);
  if (collection !== chosen()) return; // another one was chosen meanwhile
  page.data.forEach((found) => showDocument(found));
  byId("more-documents").hidden = page.next_cursor === null;
  byId("more-documents").dataset.cursor = page.next_cursor ?? "";
  watchPending();
}

/** Show a document as it is now: in its row, or in a new one. */
function showDocument(found, { first = false } = {}) {
  const row = documentRow(found);
  if (rows.has(found.id)) rows.get(found.id).replaceWith(row);
  else if (first) byId("documents").prepend(row);
  else byId("documents").append(row);
  rows.set(found.id, row);
  if (found.status === "pending" || found.status === "processing") pending.add(found.id);
  else pending.delete(found.id);
}

function documentRow(found) {
  const status = element("span", { className: "status", textContent: statusOf(found) });
  const remove = element("button", { type: "button", textContent: "Delete" });
  remove.ariaLabel = `Delete ${found.title}`;
  remove.addEventListener("click", () => attempt(() => deleteDocument(found)));
  return element("li", {}, element("p", {}, found.title, element("br"), status), remove);
}

function statusOf({ status, error, chunk_count: count }) {
  if (status === "failed") return `failed: ${error}`;
  return status === "ready" ? `ready, ${count} ${count === 1 ? "passage" : "passages"}` : `${status}…`;
}

/** Look at what is being read until all of it is; in the order in which it is read, one at a time. */
async function watchPending() {
  if (watching) return;
  watching = true;
  while (pending.size) {
    const [id] = pending;
    await lookAgain(id);
    if (pending.has(id)) await sleep(LOOK_EVERY_MS);
  }
  watching = false;
}

async function lookAgain(id) {
  try {
    const found = await callJson(`v1/documents/${encodeURIComponent(id)}`);
    if (pending.has(id)) showDocument(found);
  } catch (error) {
    if (error.status === 404) forget(id);
    else pending.clear();
    if (error.status !== 404) notify(error);
  }
}

function forget(id) {
  rows.get(id)?.remove();
  rows.delete(id);
  pending.delete(id);
}

async function deleteDocument({ id, title }) {
  if (!confirm(`Delete “${title}”?`)) return;
  await call(`v1/documents/${encodeURIComponent(id)}`, { method: "DELETE" });
  forget(id);
  byId("documents-heading").focus();
}

async function uploadAll(files) {
  const collection = chosen();
  byId("uploads").replaceChildren();
  for (const file of files) await upload(file, collection);
}

async function upload(file, collection) {
  const line = element("p", { className: "status", textContent: `${file.name}: sending…` });
  byId("uploads").append(line);
  try {
    const accepted = await callJson("v1/documents", { method: "POST", body: formOf(file, collection) });
    line.textContent = `${file.name}: ${accepted.duplicate_of ? "is there already" : "accepted"}`;
    if (collection === chosen()) showDocument(accepted.document, { first: true });
    watchPending();
  } catch (error) {
    line.replaceWith(problemBox(error, file.name));
    offerKey(error);
  }
}

function formOf(file, collection) {
  const form = new FormData();
  form.append("file", file);
  form.append("collection", collection);
  return form;
}

// Controls

function keepKey() {
  const key = byId("key").value;
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
  byId("key").value = "";
  byId("key-form").hidden = true;
  return start();
}

function toggleKeyForm() {
  const form = byId("key-form");
  form.hidden = !form.hidden;
  if (!form.hidden) byId("key").focus();
}

function submitQuestion() {
  const question = byId("question").value.trim();
  if (!question || asking) return;
  byId("question").value = "";
  ask(question);
}

/** Enter asks; not while it only ends what is composed from several keys, as Japanese is. */
function submitOnEnter(event) {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  submitQuestion();
}

/** Do `work` when a form is sent, in the place of leaving the page. */
function onSubmit(id, work) {
  byId(id).addEventListener("submit", (event) => {
    event.preventDefault();
    work();
  });
}

function connectQuestions() {
  onSubmit("question-form", submitQuestion);
  byId("question").addEventListener("keydown", submitOnEnter);
  byId("stop").addEventListener("click", () => asking?.abort());
  byId("new-conversation").addEventListener("click", startAnew);
}

function connectDocuments() {
  byId("collection").addEventListener("change", () => attempt(reloadDocuments));
  byId("more-documents").addEventListener("click", ({ target }) =>
    attempt(() => loadDocuments(target.dataset.cursor)),
  );
  byId("files").addEventListener("change", ({ target }) => {
    uploadAll([...target.files]);
    target.value = ""; // so that the same file can be chosen again
  });
}

function connectDrop() {
  const over = (on) => (event) => {
    event.preventDefault();
    byId("drop").classList.toggle("over", on);
  };
  document.addEventListener("dragover", over(true)); // anywhere: a browser leaves the page for a missed file
  document.addEventListener("dragleave", over(false));
  document.addEventListener("drop", (event) => {
    over(false)(event);
    uploadAll([...event.dataTransfer.files]);
  });
}

onSubmit("key-form", () => attempt(keepKey));
byId("key-button").addEventListener("click", toggleKeyForm);
connectQuestions();
connectDocuments();
connectDrop();
attempt(start);
