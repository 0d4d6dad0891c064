// Draws docs/screenshot.png: a group chat on the page, against the real binary. Another path may be given.
import { mkdirSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { LightClient } from "../tests/light_client.mjs";
import { eventually, launchBrowser, Person } from "../tests/person.mjs";
import { Server } from "../tests/server.mjs";

const target = resolve(process.argv[2] ?? new URL("../../../docs/screenshot.png", import.meta.url).pathname);
const colorScheme = process.argv[3] === "dark" ? "dark" : "light";

const server = await Server.start("--dev");
const browser = await launchBrowser();
const lights = [];
try {
  const enter = (name) => Person.enter(browser, server.url, name, { viewport: { width: 960, height: 640 }, deviceScaleFactor: 2, colorScheme });
  const light = async (name) => lights[lights.push(await LightClient.enter(server, name)) - 1];
  const alice = await enter("alice");
  const [bob, carol, dan, erin] = [await light("bob"), await light("carol"), await light("dan"), await light("erin")];
  const { group } = await carol.client.groups.create({ name: "Night run", members: ["alice", "bob", "dan", "erin"] });
  const to = { group };
  await dan.say({ user: "alice" }, "Your parcel is at the front desk");
  await erin.say({ user: "alice" }, "Shall we move the review to Thursday?", "Ten would be good");
  await (await enter("frank")).openRoom();
  await carol.say(to, "Morning! Did the night run finish?");
  await bob.say(to, "It did. Fifty senders, thirty kills.", "Every message is there exactly once.");
  await alice.openGroup(group);
  await alice.message("Every message is there exactly once.").hover();
  await alice.message("Every message is there exactly once.").getByRole("button", { name: "Reply" }).click();
  await alice.say("And in the same order for everybody?");
  await eventually(() => alice.statuses(), ["sent"], "alice's question");
  bob.client.send({ to, text: "@alice in the same order, down to the last one.", mentions: ["alice"] });
  await eventually(async () => (await alice.texts()).length, 5, "bob's answer");
  await alice.say("Then I will pull the plug on it myself now, while we talk. Tell me if you notice anything.");
  await eventually(async () => (await alice.statuses()).every((status) => status === "sent"), true, "everything sent");
  for (const one of [bob, carol, dan]) one.client.read(to, one.client.conversation(to).top);
  await eventually(() => alice.at("read-count").last().textContent(), "Read by 3", "who has read it");
  carol.client.typing(to);
  await eventually(() => alice.at("chat-subtitle").textContent(), "carol is writing…", "carol writing");
  await alice.page.evaluate(() => document.activeElement?.blur());
  await alice.page.mouse.move(0, 0);
  mkdirSync(dirname(target), { recursive: true });
  await alice.page.screenshot({ path: target });
  console.log(target);
} finally {
  for (const one of lights) await one.close();
  await browser.close();
  await server.end();
}
