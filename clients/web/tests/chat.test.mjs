// The page in a real browser against the real binary.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, afterEach, before, test } from "node:test";
import { eventually, launchBrowser, Person, waitMs } from "./person.mjs";
import { Server } from "./server.mjs";

let browser;
let server;
let people = [];

before(async () => {
  browser = await launchBrowser();
});

after(async () => {
  await browser?.close();
});

afterEach(async () => {
  const problems = people.flatMap((person) => person.problems);
  for (const person of people) await person.page.context().close();
  people = [];
  await server?.end();
  server = undefined;
  assert.deepEqual(problems, [], "the page had errors");
});

async function start(...flags) {
  server = await Server.start(...flags);
}

async function enter(name, options) {
  const person = await Person.enter(browser, server.url, name, options);
  people.push(person);
  return person;
}

test("two people chat both ways and see the same in the same order", async () => {
  await start("--dev");
  const [alice, bob] = [await enter("alice"), await enter("bob")];
  await alice.open("bob");
  await alice.say("hello bob", "are you there?");
  await eventually(() => bob.unread("alice"), 2, "bob's unread count");
  await eventually(() => bob.page.title(), "(2) bob · Anser", "the title");
  await bob.open("alice");
  await eventually(() => bob.unread("alice"), 0, "bob's unread count after opening");
  await bob.say("yes\n<b>always</b>");
  const all = ["hello bob", "are you there?", "yes\n<b>always</b>"];
  await eventually(() => alice.texts(), all, "alice's messages");
  await eventually(() => bob.texts(), all, "bob's messages");
  await eventually(() => alice.statuses(), ["sent", "sent"], "alice's statuses");
  assert.equal(await alice.unread("bob"), 0, "what is open and looked at is read");
});

test("unread counts stay right while another conversation is open", async () => {
  await start("--dev");
  const [alice, bob, carol] = [await enter("alice"), await enter("bob"), await enter("carol")];
  await alice.open("bob");
  await alice.say("hi");
  await bob.open("alice");
  await carol.open("bob");
  await carol.say("1", "2", "3");
  await eventually(() => bob.unread("carol"), 3, "unread from carol");
  await alice.say("still here");
  await eventually(() => bob.texts(), ["hi", "still here"], "the open conversation");
  assert.equal(await bob.unread("alice"), 0);
  await bob.page.reload();
  await bob.live();
  await eventually(() => bob.unread("carol"), 3, "the count after a reload");
  await bob.open("carol");
  await eventually(() => bob.unread("carol"), 0, "unread after opening");
  assert.equal(await bob.page.locator(".unread-divider").count(), 1);
  await bob.page.reload();
  await bob.live();
  await eventually(() => bob.at("chat-title").textContent(), "carol", "the open conversation after a reload");
  assert.equal(await bob.unread("carol"), 0, "what was read stays read");
});

test("the live room is seen by everybody in it, once", async () => {
  await start("--dev");
  const [alice, bob] = [await enter("alice"), await enter("bob")];
  await alice.openRoom();
  await bob.openRoom();
  await alice.say("hello all");
  await eventually(() => bob.texts(), ["hello all"], "bob's room");
  await bob.say("hello alice");
  await eventually(() => alice.texts(), ["hello all", "hello alice"], "alice's room");
  await eventually(() => bob.texts(), ["hello all", "hello alice"], "bob's room after his own");
  await eventually(() => alice.statuses(), ["sent"], "the status of what alice said");
});

test("a server killed in the middle loses nothing and doubles nothing", async () => {
  await start("--dev");
  const [alice, bob] = [await enter("alice"), await enter("bob")];
  await alice.open("bob");
  await bob.open("alice");
  await alice.say("before 1", "before 2");
  await bob.say("before 3");
  await eventually(() => alice.texts(), ["before 1", "before 2", "before 3"], "alice before the kill");
  await bob.openRoom();
  const burst = Array.from({ length: 10 }, (_, index) => `burst ${index}`);
  await alice.say(...burst.slice(0, 5));
  await server.kill();
  await alice.at("banner").waitFor();
  await bob.at("banner").waitFor();
  assert.match(await alice.at("banner-text").textContent(), /No connection/);
  assert.match(await alice.at("banner-countdown").textContent(), /Next try in|Trying/);
  await alice.say(...burst.slice(5));
  const all = ["before 1", "before 2", "before 3", ...burst];
  await eventually(() => alice.texts(), all, "what is written offline is shown");
  assert.deepEqual((await alice.statuses()).slice(-5), Array(5).fill("sending"), "and shown as sending");
  await server.start();
  await alice.at("banner").waitFor({ state: "hidden" });
  await bob.at("banner").waitFor({ state: "hidden" });
  await eventually(() => alice.texts(), all, "alice after the restart");
  await eventually(() => alice.statuses(), Array(12).fill("sent"), "alice's statuses");
  await eventually(() => bob.unread("alice"), 10, "bob's unread count");
  await bob.open("alice");
  await eventually(() => bob.texts(), all, "bob after the restart");
  await bob.say("and on it goes");
  await eventually(() => alice.texts(), [...all, "and on it goes"], "alice at the end");
});

test("what was written offline is sent even when the page was loaded again meanwhile", async () => {
  await start("--dev");
  const [alice, bob] = [await enter("alice"), await enter("bob")];
  await alice.open("bob");
  await alice.say("online");
  await eventually(() => alice.statuses(), ["sent"], "the first message");
  // The page itself cannot be loaded without its server, so only the socket is cut.
  await alice.page.routeWebSocket(/\/sub$/, (socket) => socket.close({ code: 4001 }));
  await alice.page.reload();
  await alice.at("banner").waitFor();
  await alice.say("offline");
  await alice.page.reload();
  await eventually(() => alice.texts(), ["online", "offline"], "alice after the reload");
  assert.deepEqual(await alice.statuses(), ["sent", "sending"]);
  await alice.page.unrouteAll();
  await alice.page.routeWebSocket(/\/sub$/, (socket) => void socket.connectToServer());
  await alice.page.reload();
  await eventually(() => alice.statuses(), ["sent", "sent"], "alice's statuses");
  await bob.open("alice");
  await eventually(() => bob.texts(), ["online", "offline"], "bob's messages");
});

test("a reload keeps the history, the open conversation and the log-in", async () => {
  await start("--dev");
  const [alice, bob] = [await enter("alice"), await enter("bob")];
  await alice.open("bob");
  await alice.say("1", "2");
  await bob.open("alice");
  await eventually(() => bob.texts(), ["1", "2"], "bob's messages");
  await server.kill();
  await server.start();
  await bob.page.reload();
  await bob.live();
  await eventually(() => bob.texts(), ["1", "2"], "bob's messages after the reload");
  assert.equal(await bob.at("me").textContent(), "bob");
  await eventually(() => bob.at("chat-title").textContent(), "alice", "the open conversation");
});

test("a second tab of the same user is a device of its own", async () => {
  await start("--dev");
  const [alice, bob] = [await enter("alice"), await enter("bob")];
  const tab = new Person(await alice.page.context().newPage(), "alice");
  await tab.page.goto(`${server.url}?user=alice`);
  await tab.logIn();
  await alice.open("bob");
  await tab.open("bob");
  await alice.say("from the first tab");
  await eventually(() => tab.texts(), ["from the first tab"], "the second tab");
  await bob.open("alice");
  await bob.say("to both");
  for (const page of [alice, tab]) {
    await eventually(() => page.texts(), ["from the first tab", "to both"], "each tab");
    assert.equal(await page.at("banner").isVisible(), false);
    assert.equal(await page.unread("bob"), 0);
  }
  assert.deepEqual(tab.problems, []);
});

test("a tab whose device connects elsewhere says so and stays away until asked", async () => {
  await start("--dev");
  const alice = await enter("alice");
  const stored = await alice.page.evaluate(() => JSON.stringify(sessionStorage));
  const twin = new Person(await alice.page.context().newPage(), "alice");
  await twin.page.addInitScript((entries) => Object.entries(JSON.parse(entries)).forEach(([key, value]) => sessionStorage.setItem(key, value)), stored);
  await twin.page.goto(server.url);
  await twin.live();
  await alice.page.locator("#banner.final").waitFor();
  assert.match(await alice.at("banner-text").textContent(), /another window/);
  await alice.page.waitForTimeout(1_500);
  assert.equal(await twin.at("banner").isVisible(), false, "the two do not push each other out in turn");
  await alice.at("banner-action").click();
  await alice.live();
  await twin.page.locator("#banner.final").waitFor();
});

test("a message that is refused is shown as failed and can be tried again or deleted", async () => {
  await start("--dev");
  const alice = await enter("alice");
  await alice.open("bob");
  await alice.say("x".repeat(5_001), "short");
  await eventually(() => alice.statuses(), ["sent", "failed"], "the statuses");
  assert.match(await alice.at("failure").textContent(), /5000 characters/);
  await alice.at("retry").click();
  await eventually(() => alice.statuses(), ["sent", "failed"], "the statuses after another try");
  await alice.page.reload();
  await eventually(() => alice.statuses(), ["sent", "failed"], "the statuses after a reload");
  await alice.at("discard").click();
  await eventually(() => alice.texts(), ["short"], "what is left");
});

test("long histories come in pages from the server and on the page", async () => {
  await start("--dev");
  const alice = await enter("alice");
  await alice.open("bob");
  // More than the 300 that the server replays, so that the client has to ask for the rest.
  const texts = Array.from({ length: 320 }, (_, index) => `number ${index}`);
  await alice.page.evaluate((texts) => {
    const field = document.getElementById("composer-text");
    for (const text of texts) {
      field.value = text;
      field.form.requestSubmit();
    }
  }, texts);
  const sentCount = async () => (await alice.statuses()).filter((status) => status === "sent").length;
  // One after the other, each on disk before its answer: a busy machine takes its time.
  await eventually(sentCount, 320, "sent messages", 8 * waitMs);
  const bob = await enter("bob");
  await eventually(() => bob.unread("alice"), 320, "bob's unread count");
  await bob.open("alice");
  await eventually(() => bob.texts(), texts.slice(-50), "the newest page");
  for (let shown = 100; shown <= 350; shown += 50) {
    await bob.scrollUp();
    await eventually(() => bob.texts(), texts.slice(-shown), `the newest ${shown}`);
  }
  assert.equal(await bob.at("show-older").isVisible(), false);
});

test("a phone's width shows one pane at a time and nothing overflows", async () => {
  await start("--dev");
  const alice = await enter("alice", { viewport: { width: 360, height: 640 }, hasTouch: true });
  const fits = async (what) => {
    const width = await alice.page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 360, `${what} is ${width} wide`);
  };
  await fits("the list");
  assert.equal(await alice.at("composer").isVisible(), false);
  await alice.open("a-rather-long-name-that-does-not-fit-into-the-line-of-a-phone");
  await alice.say("a_very_long_word_without_any_space_".repeat(8), "y".repeat(5_001), "and more");
  await eventually(() => alice.statuses(), ["sent", "sent", "failed"], "the statuses");
  assert.equal(await alice.at("conversations").isVisible(), false);
  await fits("the conversation");
  await alice.at("back").click();
  await alice.at("conversations").waitFor();
  await fits("the list with a conversation");
  await server.kill();
  await alice.at("banner").waitFor();
  await fits("the list under a banner");
});

test("without --dev the page asks for a token and takes one", async () => {
  await start();
  const context = await browser.newContext();
  const alice = new Person(await context.newPage(), "alice");
  people.push(alice);
  await alice.page.goto(`${server.url}?user=alice`);
  await alice.at("login-submit").click();
  await alice.at("login-token").waitFor();
  assert.match(await alice.at("login-token-field").textContent(), /anser token new --user alice/);
  await alice.at("login-token").fill("wrong");
  await alice.at("login-submit").click();
  await alice.at("login-error").waitFor();
  await alice.at("login-token").fill(server.token("alice"));
  await alice.logIn();
  await alice.page.reload();
  await alice.live();
});

test("the page is built in", { skip: process.env.ANSER_BIN ? "another binary was named" : false }, async () => {
  assert.ok(existsSync(new URL("../dist/index.html", import.meta.url)), "npm run build comes before the binary");
  await start("--dev");
  const page = await fetch(server.url);
  assert.match(page.headers.get("content-security-policy") ?? "", /self/);
  assert.match(await page.text(), /data-testid="login-form"/);
});
