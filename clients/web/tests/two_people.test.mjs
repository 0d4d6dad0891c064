// What two people see of each other beside what they say: ticks, typing, presence, recalls, answers.
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { LightClient } from "./light_client.mjs";
import { eventually, launchBrowser, Person } from "./person.mjs";
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
  const problems = people.flatMap((person) => person.problems ?? []);
  for (const person of people) await (person.page ? person.page.context().close() : person.close());
  people = [];
  await server?.end();
  server = undefined;
  assert.deepEqual(problems, [], "the page had errors");
});

async function enter(name, options) {
  const person = await Person.enter(browser, server.url, name, options);
  people.push(person);
  return person;
}

async function enterLight(name, options) {
  const light = await LightClient.enter(server, name, options);
  people.push(light);
  return light;
}

test("the ticks of a message go from sent to delivered to read", async () => {
  server = await Server.start("--dev");
  const alice = await enter("alice");
  await alice.open("bob");
  await alice.say("are you there?");
  await eventually(() => alice.ticks(), ["Sent"], "before bob was ever there");
  const bob = await enter("bob");
  await eventually(() => alice.ticks(), ["Delivered"], "when bob has it");
  await bob.open("alice");
  await eventually(() => alice.ticks(), ["Read"], "when bob has opened it");
  await alice.page.reload();
  await alice.live();
  await eventually(() => alice.ticks(), ["Read"], "after a reload");
});

test("who writes is seen writing, and who comes and goes is seen", async () => {
  server = await Server.start("--dev");
  const alice = await enter("alice");
  await alice.open("bob");
  const subtitle = () => alice.at("chat-subtitle").textContent();
  await eventually(subtitle, "Offline", "before bob was ever there");
  const bob = await enter("bob");
  await eventually(subtitle, "Online", "when bob came");
  await bob.open("alice");
  await bob.at("composer-text").pressSequentially("hm");
  await eventually(subtitle, "is writing…", "while bob writes");
  await bob.say("here I am");
  await eventually(subtitle, "Online", "when bob has written");
  await bob.page.context().close();
  people = [alice];
  await eventually(async () => /^Last seen/.test(await subtitle()), true, "when bob went");
});

test("a message that is recalled is gone for everybody, also for who was away", async () => {
  server = await Server.start("--dev");
  const [alice, bob] = [await enter("alice"), await enter("bob")];
  await alice.open("bob");
  await bob.open("alice");
  await alice.say("a slip", "stays");
  await eventually(() => bob.texts(), ["a slip", "stays"], "bob before the recall");
  const away = bob.page.context();
  await bob.page.routeWebSocket(/\/sub$/, (socket) => socket.close({ code: 4001 }));
  await bob.page.reload();
  await bob.at("banner").waitFor();
  await eventually(() => bob.texts(), ["a slip", "stays"], "what bob has while away");
  await alice.message("a slip").hover();
  await alice.message("a slip").getByRole("button", { name: "Recall" }).click();
  await alice.page.getByRole("button", { name: "Really recall?" }).click();
  await eventually(() => alice.texts(), ["stays"], "alice after the recall");
  assert.equal(await alice.at("message-recalled").textContent(), "You recalled a message");
  await bob.page.unrouteAll();
  await bob.page.routeWebSocket(/\/sub$/, (socket) => void socket.connectToServer());
  await bob.page.reload();
  await bob.live();
  await eventually(() => bob.texts(), ["stays"], "bob when he is back");
  assert.equal(await bob.at("message-recalled").textContent(), "alice recalled a message");
  const fresh = new Person(await (await browser.newContext()).newPage(), "bob");
  people.push(fresh);
  await fresh.page.goto(`${server.url}?user=bob`);
  await fresh.logIn();
  await fresh.open("alice");
  await eventually(() => fresh.texts(), ["stays"], "a device of bob that was never there");
  assert.equal(away.pages().length, 1);
});

test("an answer shows what it answers and leads there", async () => {
  server = await Server.start("--dev");
  const [alice, bob] = [await enter("alice"), await enterLight("bob")];
  const texts = Array.from({ length: 80 }, (_, index) => `line ${index}`);
  await bob.say({ user: "alice" }, "shall we meet on Thursday?", ...texts);
  await alice.open("bob");
  await eventually(async () => (await alice.texts()).length, 50, "the newest page");
  await alice.message("line 79").hover();
  await alice.message("line 79").getByRole("button", { name: "Reply" }).click();
  assert.match(await alice.at("composer-reply").textContent(), /Reply to bob: line 79/);
  await alice.say("that was the last");
  await eventually(() => bob.texts(), ["that was the last"], "bob gets the answer");
  assert.equal(await alice.at("quote").textContent(), "bob: line 79");
  bob.client.send({ to: { user: "alice" }, text: "and Thursday?", replyTo: 1 });
  await eventually(() => alice.at("quote").allTextContents(), ["bob: line 79", "bob: shall we meet on Thursday?"], "a quote of what is not shown");
  await alice.at("quote").last().click();
  await alice.message("shall we meet on Thursday?").waitFor();
  await eventually(() => alice.message("shall we meet on Thursday?").evaluate((one) => {
    const { top, bottom } = one.getBoundingClientRect();
    return top >= 0 && bottom <= innerHeight;
  }), true, "what was answered is in view");
});

test("who is blocked can write no more, and is told so", async () => {
  server = await Server.start("--dev");
  const [alice, bob] = [await enter("alice"), await enterLight("bob")];
  await alice.open("bob");
  await alice.say("one");
  await eventually(() => bob.texts(), ["one"], "bob before the block");
  await bob.client.block("alice");
  await alice.say("two");
  await eventually(() => alice.statuses(), ["sent", "failed"], "what alice sees");
  await bob.client.unblock("alice");
  await alice.at("retry").click();
  await eventually(() => bob.texts(), ["one", "two"], "bob after the block");
});

test("pictures, files and places are cards, and only a web address is a link", async () => {
  server = await Server.start("--dev");
  const [alice, bob] = [await enter("alice"), await enterLight("bob")];
  const file = { name: "<b>plan</b>.pdf", hash: "", url: "https://example.org/plan.pdf", type: "application/pdf", size: 1_234_567 };
  const to = { user: "alice" };
  bob.client.send({ to, file });
  bob.client.send({ to, image: { ...file, name: "evil.png", url: "javascript:alert(1)", width: 1, height: 1 } });
  bob.client.send({ to, location: { latitude: 52.5, longitude: 13.4, title: "The office", address: "Main street 1" } });
  await alice.open("bob");
  const link = alice.page.getByRole("link", { name: "File: <b>plan</b>.pdf" });
  await link.waitFor();
  assert.equal(await link.getAttribute("href"), "https://example.org/plan.pdf");
  assert.equal(await link.getAttribute("rel"), "noopener noreferrer");
  await alice.page.getByRole("link", { name: "The office" }).waitFor();
  const hrefs = await alice.page.locator("#messages a").evaluateAll((all) => all.map((one) => one.protocol));
  assert.deepEqual(hrefs.filter((protocol) => protocol !== "https:"), []);
});

test("a conversation can be pinned and muted, for all devices", async () => {
  server = await Server.start("--dev");
  const [alice, bob] = [await enter("alice"), await enterLight("bob")];
  await bob.say({ user: "alice" }, "hi");
  await (await enterLight("carol")).say({ user: "alice" }, "later");
  await alice.open("bob");
  await alice.page.getByRole("button", { name: "Pin this conversation" }).click();
  await alice.page.getByRole("button", { name: "Mute this conversation" }).click();
  const phone = await enter("alice", { viewport: { width: 360, height: 640 } });
  await phone.line("user:bob").getByTestId("pin-mark").waitFor();
  await phone.line("user:bob").getByTestId("mute-mark").waitFor();
  await eventually(() => phone.at("conversation-name").allTextContents(), ["live://lobby", "bob", "carol"], "the pinned one first");
});
