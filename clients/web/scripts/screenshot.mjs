// Draws docs/screenshot.png: the page in use, against the real binary. Another path may be given.
import { mkdirSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { eventually, launchBrowser, Person } from "../tests/person.mjs";
import { Server } from "../tests/server.mjs";

const target = resolve(process.argv[2] ?? new URL("../../../docs/screenshot.png", import.meta.url).pathname);
const colorScheme = process.argv[3] === "dark" ? "dark" : "light";

async function talk(from, to, ...texts) {
  await from.open(to.name);
  await from.say(...texts);
  await eventually(async () => (await from.statuses()).every((status) => status === "sent"), true, "everything sent");
}

const server = await Server.start("--dev");
const browser = await launchBrowser();
try {
  const enter = (name) => Person.enter(browser, server.url, name, { viewport: { width: 960, height: 620 }, deviceScaleFactor: 2, colorScheme });
  const [alice, bob, carol, dan] = [await enter("alice"), await enter("bob"), await enter("carol"), await enter("dan")];
  await carol.openRoom();
  await carol.say("Doors open at seven, see you there");
  await talk(dan, alice, "Your parcel is at the front desk");
  await talk(carol, alice, "Shall we move the review to Thursday?", "Ten would be good");
  await alice.open("bob");
  await talk(alice, bob, "Morning! Did the night run finish?");
  await talk(bob, alice, "It did. Fifty senders, thirty kills.", "Every message is there exactly once.");
  await eventually(async () => (await alice.texts()).length, 3, "bob's answer");
  await talk(alice, bob, "And in the same order on both sides?");
  await talk(bob, alice, "In the same order, down to the last one.");
  await eventually(async () => (await alice.texts()).length, 5, "bob's second answer");
  await talk(alice, bob, "Then I will pull the plug on it myself now, while we talk. Tell me if you notice anything.");
  await alice.page.evaluate(() => document.activeElement?.blur());
  mkdirSync(dirname(target), { recursive: true });
  await alice.page.screenshot({ path: target });
  console.log(target);
} finally {
  await browser.close();
  await server.end();
}
