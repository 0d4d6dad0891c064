// Groups: two or three people with pages, and the many with the SDK alone.
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { LightClient } from "./light_client.mjs";
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

/** `count` names with SDK clients. */
async function crowd(count) {
  const names = Array.from({ length: count }, (_, index) => `member-${index}`);
  return Promise.all(names.map((name) => enterLight(name)));
}

/** Makes a group as `owner` and waits until its page lists it. */
async function makeGroup(owner, name, members, options = {}) {
  await owner.at("new-group-open").click();
  await owner.at("new-group-name").fill(name);
  await owner.at("new-group-members").fill(members.join(", "));
  if (options.join) await owner.at("new-group-join").selectOption(options.join);
  if (options.isSuper) await owner.at("new-group-super").check();
  await owner.at("new-group-submit").click();
  await eventually(() => owner.at("chat-title").textContent(), name, "the group that was made");
  return decodeURIComponent((await owner.page.evaluate(() => location.hash)).slice("#group/".length));
}

test("a group of 30: every message reaches everybody once and in order, unread, mentioned and read", async () => {
  server = await Server.start("--dev");
  const lights = await crowd(27);
  const [alice, bob, carol] = [await enter("alice"), await enter("bob"), await enter("carol")];
  const group = await makeGroup(alice, "Thirty", ["bob", "carol", ...lights.map((light) => light.name)]);
  await alice.say("welcome");
  await bob.openGroup(group);
  await eventually(() => bob.texts(), ["welcome"], "bob's page");
  const said = ["welcome"];
  for (let round = 0; round < 4; round += 1) {
    const [one, other] = [lights[round], lights[round + 10]];
    await Promise.all([one.say({ group }, `a${round}`), other.say({ group }, `b${round}`), alice.say(`alice ${round}`)]);
    said.push(`a${round}`, `b${round}`, `alice ${round}`);
  }
  await eventually(async () => (await bob.texts()).length, said.length, "all of it on bob's page");
  const order = await bob.texts();
  assert.deepEqual([...order].sort(), [...said].sort(), "each once");
  await eventually(() => alice.texts(), order, "alice sees the same order");
  for (const light of lights) {
    // Its own messages are not told to a client again.
    const own = [...new Set(order)].filter((text) => light.name === senderOf(text));
    await eventually(() => light.texts(), order.filter((text) => !own.includes(text)), `what ${light.name} heard`);
  }
  const senders = await bob.at("message-sender").allTextContents();
  assert.ok(senders.includes("alice") && senders.includes("member-0"), "senders have names");

  await eventually(() => carol.unreadOf(`group:${group}`), said.length, "carol's unread count");
  assert.equal(await carol.line(`group:${group}`).getByTestId("mentioned").isVisible(), false);
  await alice.at("composer-text").fill("");
  await alice.at("composer-text").pressSequentially("look @car");
  await alice.page.getByRole("option", { name: "@carol" }).waitFor();
  await alice.at("composer-text").press("Enter");
  await alice.at("composer-text").pressSequentially("please");
  await alice.at("composer-text").press("Enter");
  await carol.line(`group:${group}`).getByTestId("mentioned").waitFor();
  await eventually(() => carol.unreadOf(`group:${group}`), said.length + 1, "carol's unread count with the mention");
  await carol.openGroup(group);
  await eventually(() => carol.at("mention").textContent(), "@carol", "the name stands out");
  await eventually(() => carol.unreadOf(`group:${group}`), 0, "carol's unread count after opening");
  await carol.line(`group:${group}`).getByTestId("mentioned").waitFor({ state: "hidden" });

  const last = alice.message("look @carol please");
  await eventually(() => last.getByTestId("read-count").textContent(), "Read by 2", "bob and carol have it open");
  await Promise.all(lights.slice(0, 5).map((light) => light.client.read({ group }, said.length + 2)));
  await eventually(() => last.getByTestId("read-count").textContent(), "Read by 7", "five more have read it");
  await last.getByTestId("read-count").click();
  const readers = ["bob", "carol", ...lights.slice(0, 5).map((light) => light.name)];
  await eventually(async () => (await alice.at("reader").allTextContents()).sort(), readers, "who has read it");
  await alice.at("readers-close").click();

  function senderOf(text) {
    const match = /^([ab])(\d)$/.exec(text);
    return match ? `member-${Number(match[2]) + (match[1] === "b" ? 10 : 0)}` : "alice";
  }
});

test("the history of a group comes by scrolling up, and what is looked at stays in place", async () => {
  server = await Server.start("--dev");
  const [alice, bob] = [await enter("alice"), await enterLight("bob")];
  const { group } = await bob.client.groups.create({ name: "Long", members: ["alice"] });
  const texts = Array.from({ length: 230 }, (_, index) => `number ${index}`);
  for (const text of texts) bob.client.send({ to: { group }, text });
  await eventually(() => alice.unreadOf(`group:${group}`), 230, "alice's unread count", 8 * waitMs);
  await alice.openGroup(group);
  await eventually(() => alice.texts(), texts.slice(-50), "the newest page");
  const placeOf = (text) => alice.message(text).evaluate((one) => Math.round(one.getBoundingClientRect().top));
  const before = await alice.page.locator("#messages-scroll").evaluate((scroll) => {
    scroll.scrollTop = 0;
    return Math.round(scroll.querySelector("[data-testid=message]").getBoundingClientRect().top);
  });
  await eventually(async () => (await alice.texts()).length, 100, "one page more");
  assert.ok(Math.abs((await placeOf("number 180")) - before) <= 40, "what was looked at has not moved away");
  for (const shown of [150, 200, 230]) {
    await alice.scrollUp();
    await eventually(() => alice.texts(), texts.slice(-shown), `the newest ${shown}`);
  }
  await alice.scrollUp();
  await alice.at("show-older").waitFor({ state: "hidden" });
});

test("who is removed gets nothing more at once, and who is invited gets what comes after the join", async () => {
  server = await Server.start("--dev");
  for (const isSuper of [false, true]) {
    const suffix = isSuper ? "-super" : "";
    const [alice, bob] = [await enter(`alice${suffix}`), await enter(`bob${suffix}`)];
    const [dan, eve] = [await enterLight(`dan${suffix}`), await enterLight(`eve${suffix}`)];
    const group = await makeGroup(alice, `Work${suffix}`, [bob.name, dan.name], { isSuper });
    await alice.say("before");
    await bob.openGroup(group);
    await eventually(() => bob.texts(), ["before"], "bob's page");
    await eventually(() => dan.texts(), ["before"], "dan");

    await alice.at("chat-group").click();
    await alice.page.getByRole("button", { name: `Remove ${bob.name}` }).click();
    await alice.page.getByRole("button", { name: `Remove ${bob.name}` }).click();
    await eventually(() => alice.at("member").count(), 2, "members without bob");
    await bob.at("composer-closed").waitFor();
    assert.match(await bob.at("composer-closed").textContent(), /no longer in this group/);
    await alice.at("group-invite").fill(eve.name);
    await alice.at("group-invite-submit").click();
    await eventually(() => alice.at("member").count(), 3, "members with eve");
    await alice.at("group-close").click();
    await alice.say("after");
    await eventually(() => eve.texts(), ["after"], "eve gets what comes after her join");
    await eventually(() => dan.texts(), ["before", "after"], "dan gets all of it");
    assert.deepEqual(await bob.texts(), ["before"], "bob gets nothing more");
    const words = await alice.events();
    assert.ok(words.includes(`You removed ${bob.name}`) && words.includes(`You invited ${eve.name}`), words.join("; "));
    await eventually(() => dan.heard.filter((text) => text.startsWith("[")).join(), "[removed],[invited]", "dan saw it happen");
  }
});

test("a super group loses nothing and doubles nothing when the server is killed in the middle", async () => {
  server = await Server.start("--dev");
  const lights = await crowd(10);
  const [alice, bob] = [await enter("alice"), await enter("bob")];
  const group = await makeGroup(alice, "Many", ["bob", ...lights.map((light) => light.name)], { isSuper: true });
  assert.match(await alice.at("chat-subtitle").textContent(), /many members/);
  await bob.openGroup(group);
  await alice.say("before");
  await eventually(() => bob.texts(), ["before"], "bob before the kill");
  const burst = Array.from({ length: 12 }, (_, index) => `burst ${index}`);
  for (const text of burst.slice(0, 6)) lights[0].client.send({ to: { group }, text });
  await server.kill();
  for (const text of burst.slice(6)) lights[0].client.send({ to: { group }, text });
  await alice.at("banner").waitFor();
  await alice.say("from alice, offline");
  await server.start();
  await alice.at("banner").waitFor({ state: "hidden" });
  await bob.at("banner").waitFor({ state: "hidden" });
  await eventually(async () => (await bob.texts()).length, 14, "all of it on bob's page", 3 * waitMs);
  const order = await bob.texts();
  assert.deepEqual([...order].sort(), ["before", ...burst, "from alice, offline"].sort(), "each once");
  assert.deepEqual(order.filter((text) => text.startsWith("burst")), burst, "in the order in which they were written");
  await eventually(() => alice.texts(), order, "alice sees the same order");
  for (const light of lights.slice(1)) await eventually(() => light.texts(), order, `what ${light.name} heard`, 3 * waitMs);
  await bob.page.reload();
  await bob.live();
  await eventually(() => bob.texts(), order, "bob after a reload");
});

test("a group that becomes a super group goes on for everybody", async () => {
  server = await Server.start("--dev");
  const lights = await crowd(3);
  const alice = await enter("alice");
  const group = await makeGroup(alice, "Grows", lights.map((light) => light.name));
  await alice.say("1", "2");
  await alice.at("chat-group").click();
  await alice.at("group-convert").click();
  await alice.at("group-convert").click();
  await eventually(async () => /many members/.test(await alice.at("group-facts").textContent()), true, "its kind");
  await alice.at("group-close").click();
  await alice.say("3", "4");
  for (const light of lights) await eventually(() => light.heard, ["1", "2", "[converted]", "3", "4"], `what ${light.name} heard`);
  await eventually(() => alice.texts(), ["1", "2", "3", "4"], "alice's page");
  await lights[0].say({ group }, "5");
  await eventually(() => alice.texts(), ["1", "2", "3", "4", "5"], "alice's page at the end");
  assert.equal(alice.problems.length, 0);
});

test("who asks is let in by an admin, and roles and mutes hold", async () => {
  server = await Server.start("--dev");
  const [alice, bob] = [await enter("alice"), await enter("bob", { viewport: { width: 360, height: 640 } })];
  const group = await makeGroup(alice, "Asks", [], { join: "approval" });
  await bob.at("new-group-open").click();
  await bob.at("join-group-id").fill(group);
  await bob.at("join-group-text").fill("please");
  await bob.at("join-group-submit").click();
  await bob.page.getByText("The admins of the group were asked.").waitFor();
  await alice.page.getByText("bob asks to be let into Asks.").waitFor();
  await alice.at("chat-group").click();
  assert.match(await alice.at("request").textContent(), /please/);
  await alice.page.getByRole("button", { name: "Accept bob" }).click();
  await eventually(() => alice.at("member").count(), 2, "bob is a member");
  await bob.openGroup(group);
  await bob.say("thank you");
  await eventually(() => alice.texts(), ["thank you"], "bob may write");
  const width = await bob.page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= 360, `the group is ${width} wide`);
  await alice.page.getByRole("button", { name: "Mute bob" }).click();
  await eventually(async () => (await alice.at("member").filter({ hasText: "bob" }).getByTestId("member-role").textContent()), "muted", "bob is muted");
  await bob.say("may I?");
  await eventually(() => bob.statuses(), ["sent", "failed"], "bob may not write");
  await alice.page.getByRole("button", { name: "Make admin: bob" }).click();
  await eventually(() => alice.at("member").filter({ hasText: "bob" }).getAttribute("data-role"), "admin", "bob is an admin");
  await alice.at("group-name").fill("Asks no more");
  await alice.at("group-settings-submit").click();
  await eventually(() => bob.at("chat-title").textContent(), "Asks no more", "the name that bob sees");
  await alice.at("group-close").click();
  await bob.at("chat-group").click();
  await bob.at("group-leave").waitFor();
  const panel = await bob.page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(panel <= 360, `the panel is ${panel} wide`);
  await bob.at("group-leave").click();
  await bob.at("group-leave").click();
  await bob.at("composer-closed").waitFor();
  await eventually(() => alice.events(), ["You invited bob", "You muted bob", "You made bob admin", "You changed the group", "bob left"], "what alice saw");
});
