import assert from "node:assert/strict";
import test from "node:test";
import { memoryStore } from "../src/index.js";
import { settle } from "./fake_clock.js";
import { fromBob, range, type FakeSocket } from "./fake_server.js";
import { fixture, start, startLive, texts } from "./fixture.js";

function page(socket: FakeSocket, seqs: number[], top: number, next: number): void {
  socket.reply(socket.last("sync"), { messages: seqs.map((seq) => fromBob(seq)), top, next });
}

function numbers(seqs: number[]): string[] {
  return seqs.map((seq) => `message ${seq}`);
}

test("a message that comes twice is told once", async () => {
  const made = fixture();
  const socket = await startLive(made);
  socket.say({ message: fromBob(1) });
  socket.say({ message: fromBob(1) });
  socket.say({ message: fromBob(2) });
  socket.say({ message: fromBob(1) });
  assert.deepEqual(texts(made.messages), numbers([1, 2]));
});

test("the same place in a conversation is told once, also under another inbox seq", async () => {
  const made = fixture();
  const socket = await startLive(made);
  socket.say({ message: fromBob(1) });
  socket.say({ message: fromBob(2, { seq: 1 }) });
  socket.say({ message: fromBob(3, { seq: 2 }) });
  assert.deepEqual(texts(made.messages), numbers([1, 3]));
});

test("a device that holds nothing begins at the server's record of it", async () => {
  const made = fixture();
  start(made);
  const socket = await made.server.accept({ inboxTop: 9, ackedUpTo: 7 });
  assert.equal("inboxSeq" in socket.last("auth").body, false);
  for (const seq of [8, 9]) socket.say({ message: fromBob(seq) });
  socket.say({ syncDone: { inboxSeq: 9 } });
  assert.equal(made.client.state.name, "live");
  assert.deepEqual(texts(made.messages), numbers([8, 9]));
});

test("a device that the server does not know begins 300 below the top and states that from then on", async () => {
  const made = fixture();
  start(made);
  const socket = await made.server.accept({ inboxTop: 1_000 });
  for (const seq of range(701, 1_000)) socket.say({ message: fromBob(seq) });
  socket.say({ syncDone: { inboxSeq: 1_000 } });
  assert.equal(made.client.state.name, "live");
  assert.equal(made.messages.length, 300);
  await settle();
  socket.drop();
  await made.clock.advance(1_000);
  assert.equal((await made.server.accept({ inboxTop: 1_000 })).last("auth").body.inboxSeq, 1_000);
});

test("a hole that closes within 300 ms costs no sync, and messages stay in order", async () => {
  const made = fixture();
  const socket = await startLive(made);
  socket.say({ message: fromBob(1) });
  socket.say({ message: fromBob(3) });
  assert.deepEqual(texts(made.messages), numbers([1]));
  await made.clock.advance(299);
  socket.say({ message: fromBob(2) });
  assert.deepEqual(texts(made.messages), numbers([1, 2, 3]));
  await made.clock.advance(5_000);
  assert.equal(socket.all("sync").length, 0);
});

test("a hole heals after 300 ms with one sync, whatever comes meanwhile", async () => {
  const made = fixture();
  const socket = await startLive(made);
  socket.say({ message: fromBob(1) });
  socket.say({ message: fromBob(4) });
  await made.clock.advance(299);
  assert.equal(socket.all("sync").length, 0);
  await made.clock.advance(1);
  assert.deepEqual(socket.last("sync").body, { begin: 2, end: 4, limit: 200 });
  socket.say({ message: fromBob(5) });
  socket.say({ message: fromBob(7) });
  await made.clock.advance(2_000);
  assert.equal(socket.all("sync").length, 1);
  page(socket, [2, 3, 4], 7, 0);
  await settle();
  assert.deepEqual(texts(made.messages), numbers([1, 2, 3, 4, 5]));
  await made.clock.advance(300);
  assert.deepEqual(socket.last("sync").body, { begin: 6, end: 7, limit: 200 });
  page(socket, [6], 7, 0);
  await settle();
  assert.deepEqual(texts(made.messages), numbers(range(1, 7)));
});

test("a sync that fails or is not answered is repeated with a back-off until the hole is covered", async () => {
  const made = fixture();
  const socket = await startLive(made);
  socket.say({ message: fromBob(2) });
  await made.clock.advance(300);
  socket.refuse(socket.last("sync"), "overloaded", 50301, true);
  await made.clock.advance(749);
  assert.equal(socket.all("sync").length, 1);
  await made.clock.advance(1);
  assert.equal(socket.all("sync").length, 2);
  await made.clock.advance(10_000 + 1_000);
  assert.equal(socket.all("sync").length, 3);
  // A page that covers nothing is no answer either.
  page(socket, [], 0, 0);
  await made.clock.advance(1_500);
  assert.equal(socket.all("sync").length, 4);
  page(socket, [1], 2, 0);
  await settle();
  assert.deepEqual(texts(made.messages), numbers([1, 2]));
  await made.clock.advance(30_000);
  assert.equal(socket.all("sync").length, 4);
});

test("a seq that a page covers without a message does not exist", async () => {
  const made = fixture();
  const socket = await startLive(made);
  socket.say({ message: fromBob(1) });
  socket.say({ message: fromBob(6) });
  await made.clock.advance(300);
  page(socket, [3], 6, 5);
  await settle();
  assert.deepEqual(texts(made.messages), numbers([1, 3]));
  assert.deepEqual(socket.last("sync").body, { begin: 5, end: 6, limit: 200 });
  page(socket, [], 6, 0);
  await settle();
  assert.deepEqual(texts(made.messages), numbers([1, 3, 6]));
  await made.clock.advance(20_000);
  assert.equal(socket.all("sync").length, 2);
  assert.equal(socket.last("ack").body.inboxSeq, 6);
});

test("the loss of the last message is seen by the heartbeat and healed", async () => {
  const made = fixture();
  const socket = await startLive(made);
  socket.say({ message: fromBob(1) });
  socket.automatic = (request) => (request.name === "heartbeat" ? { inboxTop: 3 } : {});
  await made.clock.advance(20_000);
  socket.automatic = () => undefined;
  assert.equal(socket.all("sync").length, 0);
  await made.clock.advance(300);
  assert.deepEqual(socket.last("sync").body, { begin: 2, end: 0, limit: 200 });
  page(socket, [2, 3], 3, 0);
  await settle();
  assert.deepEqual(texts(made.messages), numbers([1, 2, 3]));
});

test("a replay leads to live without a sync, however slowly it comes", async () => {
  const made = fixture();
  start(made);
  const socket = await made.server.accept({ inboxTop: 4 });
  for (const seq of [1, 2, 3, 4]) {
    assert.equal(made.client.state.name, "syncing");
    await made.clock.advance(2_000);
    socket.say({ message: fromBob(seq) });
  }
  socket.say({ syncDone: { inboxSeq: 4 } });
  assert.equal(made.client.state.name, "live");
  assert.equal(socket.all("sync").length, 0);
  assert.deepEqual(texts(made.messages), numbers([1, 2, 3, 4]));
});

test("a replay that stops half way is finished by sync", async () => {
  const made = fixture();
  start(made);
  const socket = await made.server.accept({ inboxTop: 3 });
  socket.say({ message: fromBob(1) });
  await made.clock.advance(3_000);
  assert.deepEqual(socket.last("sync").body, { begin: 2, end: 0, limit: 200 });
  page(socket, [2, 3], 3, 0);
  await settle();
  assert.equal(made.client.state.name, "live");
});

test("after a gap the rest is paged at once, with live messages coming in between", async () => {
  const made = fixture();
  const gaps: unknown[] = [];
  made.client.on("gap", (gap) => gaps.push(gap));
  const before = await startLive(made);
  before.drop();
  await made.clock.advance(1_000);
  const socket = await made.server.accept({ inboxTop: 750 });
  for (const seq of range(1, 300)) socket.say({ message: fromBob(seq) });
  socket.say({ gap: { begin: 301, end: 750 } });
  assert.deepEqual(gaps, [{ begin: 301, end: 750 }]);
  assert.deepEqual(socket.last("sync").body, { begin: 301, end: 0, limit: 200 });
  socket.say({ message: fromBob(751) });
  page(socket, range(301, 500), 751, 501);
  await settle();
  assert.equal(made.client.state.name, "syncing");
  assert.deepEqual(socket.last("sync").body, { begin: 501, end: 751, limit: 200 });
  page(socket, range(501, 700), 751, 701);
  await settle();
  page(socket, range(701, 751), 751, 0);
  await settle();
  assert.equal(made.client.state.name, "live");
  assert.deepEqual(texts(made.messages), numbers(range(1, 751)));
  assert.equal(socket.all("sync").length, 3);
});

test("a gap whose end is not there does not keep the client from being live", async () => {
  const made = fixture();
  start(made);
  const socket = await made.server.accept({ inboxTop: 3 });
  socket.say({ gap: { begin: 1, end: 4 } });
  page(socket, [1, 2, 3], 3, 0);
  await settle();
  assert.equal(made.client.state.name, "live");
});

test("a flood above a hole is bounded, and what was dropped is fetched", async () => {
  const made = fixture();
  const socket = await startLive(made);
  for (const seq of range(2, 3_000)) socket.say({ message: fromBob(seq) });
  await made.clock.advance(300);
  page(socket, [1], 3_000, 0);
  await settle();
  assert.equal(made.messages.length, 2_001);
  await made.clock.advance(300);
  assert.deepEqual(socket.last("sync").body, { begin: 2_002, end: 0, limit: 200 });
});

test("acks name what is contiguous, at most every half second, and end with the last", async () => {
  const made = fixture();
  const socket = await startLive(made);
  for (const seq of [1, 2, 3, 5]) socket.say({ message: fromBob(seq) });
  await settle();
  assert.equal(socket.all("ack").length, 0);
  await made.clock.advance(500);
  assert.deepEqual(socket.all("ack").map((request) => request.body.inboxSeq), [3]);
  page(socket, [4], 5, 0);
  await made.clock.advance(500);
  assert.deepEqual(socket.all("ack").map((request) => request.body.inboxSeq), [3, 5]);
  await made.clock.advance(60_000);
  assert.equal(socket.all("ack").length, 2);
});

test("an ack that failed is repeated, and what the server knows is not acked again", async () => {
  const made = fixture();
  (await startLive(made)).drop();
  await made.clock.advance(1_000);
  const socket = await made.server.acceptLive({ inboxTop: 0, ackedUpTo: 2 });
  socket.automatic = () => undefined;
  socket.say({ message: fromBob(1) });
  socket.say({ message: fromBob(2) });
  await made.clock.advance(1_000);
  assert.equal(socket.all("ack").length, 0);
  socket.say({ message: fromBob(3) });
  await made.clock.advance(500);
  socket.refuse(socket.last("ack"), "internal", 50001, true);
  await made.clock.advance(10_000);
  assert.deepEqual(socket.all("ack").map((request) => request.body.inboxSeq), [3, 3]);
});

test("a reconnect states the contiguous position and takes nothing twice", async () => {
  const made = fixture();
  const socket = await startLive(made);
  for (const seq of [1, 2, 4]) socket.say({ message: fromBob(seq) });
  socket.drop();
  await made.clock.advance(1_000);
  const again = await made.server.accept({ inboxTop: 5 });
  assert.equal(again.last("auth").body.inboxSeq, 2);
  for (const seq of [3, 4, 5]) again.say({ message: fromBob(seq) });
  again.say({ syncDone: { inboxSeq: 5 } });
  assert.equal(made.client.state.name, "live");
  assert.deepEqual(texts(made.messages), numbers([1, 2, 3, 4, 5]));
});

test("an answer to a sync of an earlier connection changes nothing", async () => {
  const made = fixture();
  const socket = await startLive(made);
  socket.say({ message: fromBob(2) });
  await made.clock.advance(300);
  socket.drop();
  await made.clock.advance(750);
  const again = await made.server.acceptLive({ inboxTop: 2 });
  await made.clock.advance(300);
  assert.equal(again.all("sync").length, 1);
  page(again, [1, 2], 2, 0);
  await settle();
  assert.deepEqual(texts(made.messages), numbers([1, 2]));
});

test("a server whose store was replaced makes the client start over", async () => {
  const made = fixture();
  let resets = 0;
  made.client.on("reset", () => (resets += 1));
  const socket = await startLive(made);
  for (const seq of range(1, 9)) socket.say({ message: fromBob(seq) });
  socket.drop();
  await made.clock.advance(1_000);
  const again = await made.server.accept({ inboxTop: 2 });
  assert.deepEqual(again.last("sync").body, { begin: 9, end: 9, limit: 1 });
  page(again, [], 2, 0);
  await made.clock.advance(300);
  assert.equal(resets, 1);
  assert.deepEqual(again.last("sync").body, { begin: 1, end: 0, limit: 200 });
  again.reply(again.last("sync"), { messages: [fromBob(1, { text: "new 1" }), fromBob(2, { text: "new 2" })], top: 2, next: 0 });
  await settle();
  assert.equal(made.client.state.name, "live");
  assert.deepEqual(texts(made.messages).slice(9), ["new 1", "new 2"]);
  assert.deepEqual(texts(await made.client.history({ user: "bob" })), ["new 1", "new 2"]);
});

test("a stated top that is only old does not make the client start over", async () => {
  const made = fixture();
  const socket = await startLive(made);
  for (const seq of range(1, 3)) socket.say({ message: fromBob(seq) });
  socket.drop();
  await made.clock.advance(1_000);
  const again = await made.server.accept({ inboxTop: 2 });
  page(again, [3], 3, 0);
  await settle();
  assert.equal(made.client.state.name, "live");
  assert.equal((await made.client.history({ user: "bob" })).length, 3);
});

test("what is below the position is not told again and does not narrow a later sync", async () => {
  const store = memoryStore();
  const earlier = fixture({ store });
  const first = await startLive(earlier);
  for (const seq of [1, 2]) first.say({ message: fromBob(seq) });
  await earlier.client.close();
  const made = fixture({ store });
  const socket = await startLive(made, { inboxTop: 2 });
  socket.say({ message: fromBob(2) });
  assert.deepEqual(made.messages, []);
  socket.say({ message: fromBob(4) });
  await made.clock.advance(300);
  assert.deepEqual(socket.last("sync").body, { begin: 3, end: 4, limit: 200 });
});
