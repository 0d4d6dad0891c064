// The SDK on a network that loses, doubles and reorders what the server says by itself.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { LightClient } from "./light_client.mjs";
import { eventually, waitMs } from "./person.mjs";
import { Server } from "./server.mjs";

let server;
const lights = [];

after(async () => {
  for (const light of lights) await light.close();
  await server?.end();
});

/** A repeatable series of numbers in [0, 1). */
function randomOf(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** A WebSocket that loses a fifth of the pushes, doubles some and lets some be overtaken. */
function badNetwork(seed) {
  const random = randomOf(seed);
  return class {
    onopen = null;
    onmessage = null;
    onclose = null;
    onerror = null;

    constructor(url, protocol) {
      this.socket = new WebSocket(url, protocol);
      this.socket.onopen = (event) => this.onopen?.(event);
      this.socket.onclose = (event) => this.onclose?.(event);
      this.socket.onerror = (event) => this.onerror?.(event);
      this.socket.onmessage = (event) => {
        const isRow = /^\{"(message|recalled|groupEvent)"/.test(event.data);
        const fate = isRow ? random() : 1;
        if (fate < 0.2) return;
        if (fate < 0.3) setTimeout(() => this.onmessage?.(event), 40);
        else this.onmessage?.(event);
        if (fate > 0.9 && isRow) setTimeout(() => this.onmessage?.(event), 10);
      };
    }

    send(data) {
      this.socket.send(data);
    }

    close(code) {
      this.socket.close(code);
    }

    /** Ends the connection without a word, as a network does. */
    cut() {
      this.socket.onmessage = null;
      this.socket.close();
    }
  };
}

test("whatever a network does, everybody is told every row of a group once and in order", { timeout: 10 * waitMs }, async () => {
  server = await Server.start("--dev");
  const seed = Number(process.env.ANSER_TEST_SEED ?? Date.now() % 1_000_000);
  console.log(`ANSER_TEST_SEED=${seed}`);
  const random = randomOf(seed);
  const sockets = [];
  const enter = async (name) => {
    const Bad = badNetwork(seed + lights.length);
    const kept = class extends Bad {
      constructor(url, protocol) {
        super(url, protocol);
        sockets.push(this);
      }
    };
    const light = await LightClient.enter(server, name, { webSocket: kept });
    lights.push(light);
    return light;
  };
  const names = ["ann", "ben", "cid", "dee", "eli"];
  for (const name of names) await enter(name);
  const [ann] = lights;
  const { group, conversation } = await ann.client.groups.create({ name: "Storm", members: names.slice(1) });
  const to = { group };
  const rows = new Map(lights.map((light) => [light.name, []]));
  for (const light of lights) {
    for (const event of ["message", "groupEvent", "recalled"]) {
      light.client.on(event, (row) => row.conversation === conversation && rows.get(light.name).push(row.seq));
    }
    // What this client sent itself is told by its status.
    light.client.on("status", (message) => message.status === "sent" && rows.get(light.name).push(message.seq));
  }
  const sent = [];
  for (let step = 0; step < 150; step += 1) {
    const light = lights[Math.floor(random() * lights.length)];
    sent.push(light.client.send({ to, text: `${step}` }));
    if (step % 20 === 9) sockets[Math.floor(random() * sockets.length)].cut();
    if (step === 60) await ann.client.groups.update(group, { announcement: "half way" }).catch(() => {});
    if (step === 75) await eventually(() => ann.client.groups.update(group, { kind: "super" }).then(() => true, () => false), true, "the conversion");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await eventually(() => sent.filter((message) => message.status === "sent").length, sent.length, "what was sent", 2 * waitMs);
  await eventually(() => ann.client.recall(conversation, sent.find((message) => message.sender === "ann").seq).then(() => true, () => false), true, "a recall");
  // The heartbeat tells what was lost last; nobody wants to wait for it here.
  const beat = () => lights.forEach((light) => light.client.reconnectNow());
  const all = await ann.client.history(conversation, { after: 1, limit: 500 });
  const expected = all.map((row) => row.seq);
  for (const light of lights) {
    const seen = () => {
      beat();
      return [...new Set(rows.get(light.name))].length;
    };
    await eventually(seen, expected.length, `how much ${light.name} was told`, 4 * waitMs);
    const isOwn = (seq) => all.find((row) => row.seq === seq).sender === light.name && !all.find((row) => row.seq === seq).kind;
    const others = rows.get(light.name).filter((seq) => !isOwn(seq));
    assert.deepEqual(others, expected.filter((seq) => !isOwn(seq)), `${light.name}: once and in order`);
    const shown = await light.client.history(conversation, { limit: 500 });
    assert.deepEqual(shown.map((row) => [row.seq, row.text, row.recalled]), all.map((row) => [row.seq, row.text, row.recalled]), `${light.name}: what its store has`);
  }
});
