import assert from "node:assert/strict";
import test from "node:test";
import { memoryStore, type GroupEvent } from "../src/index.js";
import { settle } from "./fake_clock.js";
import { inGroup, range, type FakeSocket } from "./fake_server.js";
import { fixture, start, startLive, texts, type Fixture } from "./fixture.js";

const g = "group:g";

function top(group: string, seq: number, joined = 0) {
  return { conversation: `group:${group}`, top: seq, readUpTo: 0, joined };
}

function told(seqs: number[], group = "g"): string[] {
  return seqs.map((seq) => `${group} ${seq}`);
}

function begins(socket: FakeSocket, index = -1): unknown {
  return socket.all("syncGroups").at(index)!.body.positions;
}

/** Answers the last syncGroups. */
function page(socket: FakeSocket, ...groups: { group?: string; seqs: number[]; top: number; next?: number }[]): void {
  const pages = groups.map(({ group = "g", seqs, top, next = 0 }) => ({
    conversation: `group:${group}`,
    messages: seqs.map((seq) => inGroup(group, seq)),
    top,
    next,
  }));
  socket.reply(socket.last("syncGroups"), { groups: pages });
}

/** A client that holds the group up to its join at seq 1. */
async function inSuperGroup(): Promise<[Fixture, FakeSocket]> {
  const made = fixture();
  const socket = await startLive(made, { groups: [top("g", 1, 1)] });
  return [made, socket];
}

test("rows of a super group are told once each and in order, and a hole that closes costs nothing", async () => {
  const [made, socket] = await inSuperGroup();
  for (const seq of [2, 2, 4, 3, 4, 2]) socket.say({ message: inGroup("g", seq) });
  await made.clock.advance(1_000);
  assert.deepEqual(texts(made.messages), told([2, 3, 4]));
  assert.deepEqual(made.messages[0]!.peer, { group: "g" });
  assert.equal(socket.all("syncGroups").length, 0);
});

test("holes of many groups are healed by one request at a time", async () => {
  const made = fixture();
  const socket = await startLive(made, { groups: [top("g", 1, 1), top("h", 5, 5)] });
  socket.say({ message: inGroup("g", 3) });
  socket.say({ message: inGroup("h", 8) });
  await made.clock.advance(299);
  assert.equal(socket.all("syncGroups").length, 0);
  await made.clock.advance(1);
  assert.deepEqual(begins(socket), [{ conversation: g, begin: 2 }, { conversation: "group:h", begin: 6 }]);
  socket.say({ message: inGroup("g", 5) });
  await made.clock.advance(2_000);
  assert.equal(socket.all("syncGroups").length, 1);
  page(socket, { seqs: [2, 3], top: 5, next: 4 }, { group: "h", seqs: [6, 7, 8], top: 8 });
  await settle();
  assert.deepEqual(texts(made.messages), [...told([2, 3]), ...told([6, 7, 8], "h")]);
  assert.deepEqual(begins(socket), [{ conversation: g, begin: 4 }]);
  page(socket, { seqs: [4, 5], top: 5 });
  await made.clock.advance(30_000);
  assert.deepEqual(texts(made.messages).slice(-2), told([4, 5]));
  assert.equal(socket.all("syncGroups").length, 2);
});

test("a sync of groups that fails or covers nothing is repeated with a back-off", async () => {
  const [made, socket] = await inSuperGroup();
  socket.say({ message: inGroup("g", 3) });
  await made.clock.advance(300);
  socket.refuse(socket.last("syncGroups"), "overloaded", 50301, true);
  await made.clock.advance(749);
  assert.equal(socket.all("syncGroups").length, 1);
  await made.clock.advance(1);
  page(socket, { seqs: [], top: 1 });
  await made.clock.advance(1_000);
  assert.equal(socket.all("syncGroups").length, 3);
  page(socket, { seqs: [2, 3], top: 3 });
  await settle();
  assert.deepEqual(texts(made.messages), told([2, 3]));
});

test("a seq that a page covers without a row is no hole", async () => {
  const [made, socket] = await inSuperGroup();
  socket.say({ message: inGroup("g", 6) });
  await made.clock.advance(300);
  page(socket, { seqs: [3], top: 6, next: 5 });
  await settle();
  assert.deepEqual(texts(made.messages), told([3]));
  page(socket, { seqs: [], top: 6 });
  await made.clock.advance(10_000);
  assert.deepEqual(texts(made.messages), told([3, 6]));
  assert.equal(socket.all("syncGroups").length, 2);
});

test("the loss of a group's last message is seen by the heartbeat and healed", async () => {
  const [made, socket] = await inSuperGroup();
  socket.automatic = (request) => (request.name === "heartbeat" ? { inboxTop: 0, groups: [{ conversation: g, top: 3 }] } : {});
  await made.clock.advance(20_000);
  socket.automatic = () => undefined;
  await made.clock.advance(300);
  assert.deepEqual(begins(socket), [{ conversation: g, begin: 2 }]);
  page(socket, { seqs: [2, 3], top: 3 });
  await settle();
  assert.deepEqual(texts(made.messages), told([2, 3]));
});

test("what was missed without a connection is asked for at once, from where this client stood", async () => {
  const [made, socket] = await inSuperGroup();
  for (const seq of [2, 3, 5]) socket.say({ message: inGroup("g", seq) });
  socket.drop();
  await made.clock.advance(1_000);
  const again = await made.server.accept({ groups: [top("g", 7, 1)] });
  assert.deepEqual(begins(again), [{ conversation: g, begin: 4 }]);
  again.say({ message: inGroup("g", 8) });
  page(again, { seqs: [4, 5, 6, 7], top: 7 });
  await settle();
  assert.deepEqual(texts(made.messages), told([2, 3, 4, 5, 6, 7, 8]));
});

test("the position of a group is kept in the store", async () => {
  const store = memoryStore();
  const earlier = fixture({ store });
  const socket = await startLive(earlier, { groups: [top("g", 1, 1)] });
  for (const seq of [2, 3]) socket.say({ message: inGroup("g", seq) });
  await earlier.client.close();
  const later = fixture({ store });
  const again = await startLive(later, { groups: [top("g", 90, 1)] });
  assert.deepEqual(begins(again), [{ conversation: g, begin: 4 }]);
  assert.deepEqual(texts(await later.client.history({ group: "g" })), told([2, 3]));
});

test("a group that this device never saw begins near its top, but not before the join", async () => {
  const made = fixture();
  start(made);
  const socket = await made.server.accept({ groups: [top("g", 500, 7), top("h", 30, 20)], inboxTop: 1 });
  assert.equal(socket.all("syncGroups").length, 0, "the inbox may still tell of a conversion");
  socket.say({ syncDone: { inboxSeq: 1 } });
  await made.clock.advance(300);
  socket.reply(socket.last("sync"), { messages: [], top: 1, next: 0 });
  await made.clock.advance(300);
  assert.deepEqual(begins(socket), [{ conversation: g, begin: 451 }, { conversation: "group:h", begin: 21 }]);
});

test("more groups than an auth reply holds are asked for page by page, again if need be", async () => {
  const made = fixture();
  const socket = await startLive(made, { groups: [top("a", 1, 1)], groupsNext: "group:a" });
  assert.deepEqual(socket.last("groupTops").body, { cursor: "group:a" });
  socket.refuse(socket.last("groupTops"), "internal", 50001, true);
  await made.clock.advance(750);
  assert.equal(socket.all("groupTops").length, 2);
  socket.reply(socket.last("groupTops"), { groups: [top("b", 9, 8)], next: "group:b" });
  await settle();
  assert.deepEqual(socket.last("groupTops").body, { cursor: "group:b" });
  socket.reply(socket.last("groupTops"), { groups: [], next: "" });
  await made.clock.advance(300);
  assert.deepEqual(begins(socket), [{ conversation: "group:b", begin: 9 }]);
});

test("a group that becomes a super group goes on from the row that says so, without loss or doubles", async () => {
  const made = fixture();
  const events: GroupEvent[] = [];
  const order: number[] = [];
  made.client.on("groupEvent", (event) => events.push(event));
  made.client.on("groupEvent", (event) => order.push(event.seq));
  made.client.on("message", (message) => order.push(message.seq));
  const socket = await startLive(made);
  socket.say({ message: inGroup("g", 2, { inboxSeq: 1 }) });
  // The first rows of the super group overtake the last one of the group.
  for (const seq of [5, 7]) socket.say({ message: inGroup("g", seq) });
  await made.clock.advance(200);
  assert.deepEqual(texts(made.messages), told([2]));
  socket.say({ message: inGroup("g", 3, { inboxSeq: 2 }) });
  socket.say({ groupEvent: inGroup("g", 4, { inboxSeq: 3, kind: "converted", by: "bob", users: [], text: undefined }) });
  assert.deepEqual(texts(made.messages), told([2, 3, 5]));
  assert.deepEqual(events.map((event) => event.kind), ["converted"]);
  await made.clock.advance(300);
  assert.deepEqual(begins(socket), [{ conversation: g, begin: 6 }]);
  page(socket, { seqs: [6, 7], top: 7 });
  await settle();
  assert.deepEqual(order, [2, 3, 4, 5, 6, 7]);
  assert.equal(made.client.conversation(g)!.kind, "super");
});

test("the row that says so is asked for where its push was lost, also after a reconnect", async () => {
  const made = fixture();
  const order: number[] = [];
  made.client.on("groupEvent", (event) => order.push(event.seq));
  made.client.on("message", (message) => order.push(message.seq));
  const socket = await startLive(made);
  socket.say({ message: inGroup("g", 2, { inboxSeq: 1 }) });
  socket.say({ conversation: { conversation: g, kind: "super", group: "g", top: 3, joined: 0 } });
  socket.say({ message: inGroup("g", 4) });
  socket.drop();
  await made.clock.advance(1_000);
  const again = await made.server.acceptLive({ inboxTop: 1, groups: [top("g", 4, 0)] });
  await made.clock.advance(999);
  assert.equal(again.all("sync").length, 0);
  await made.clock.advance(1);
  assert.deepEqual(again.last("sync").body, { begin: 2, end: 0, limit: 200 });
  const converted = inGroup("g", 3, { inboxSeq: 2, kind: "converted", by: "bob", users: [], text: undefined });
  again.reply(again.last("sync"), { messages: [converted], top: 2, next: 0 });
  await settle();
  assert.deepEqual(order, [2, 3, 4]);
});

test("a conversion while this device was away leaves no row out", async () => {
  const store = memoryStore();
  const earlier = fixture({ store });
  const first = await startLive(earlier);
  first.say({ message: inGroup("g", 2, { inboxSeq: 1 }) });
  await earlier.client.close();
  const made = fixture({ store });
  start(made);
  const socket = await made.server.accept({ inboxTop: 3, groups: [top("g", 200, 1)] });
  socket.say({ message: inGroup("g", 3, { inboxSeq: 2 }) });
  socket.say({ groupEvent: inGroup("g", 4, { inboxSeq: 3, kind: "converted", by: "bob", users: [] }) });
  socket.say({ syncDone: { inboxSeq: 3 } });
  await made.clock.advance(300);
  assert.deepEqual(begins(socket), [{ conversation: g, begin: 5 }]);
  page(socket, { seqs: range(5, 200), top: 200 });
  await settle();
  assert.deepEqual(texts(made.messages), told([3, ...range(5, 200)]));
});

test("who is let in while connected gets what comes after the join", async () => {
  const made = fixture();
  const socket = await startLive(made);
  socket.say({ conversation: { conversation: g, kind: "super", group: "g", name: "G", top: 41, joined: 40, readUpTo: 40, unread: 1 } });
  await made.clock.advance(300);
  assert.deepEqual(begins(socket), [{ conversation: g, begin: 41 }]);
  page(socket, { seqs: [41], top: 41 });
  await settle();
  socket.say({ message: inGroup("g", 42) });
  assert.deepEqual(texts(made.messages), told([41, 42]));
});

test("who is put out gets what was said before, and nothing after", async () => {
  const [made, socket] = await inSuperGroup();
  socket.say({ message: inGroup("g", 2) });
  socket.say({ message: inGroup("g", 4) });
  socket.say({ conversation: { conversation: g, kind: "super", group: "g", top: 4, joined: 1, left: 5 } });
  socket.say({ message: inGroup("g", 6) });
  await made.clock.advance(300);
  page(socket, { seqs: [3, 4], top: 4 });
  await made.clock.advance(30_000);
  assert.deepEqual(texts(made.messages), told([2, 3, 4]));
  assert.equal(made.client.conversation(g)!.left, 5);
  assert.equal(socket.all("syncGroups").length, 1);
  socket.say({ conversation: { conversation: g, kind: "super", group: "g", top: 9, joined: 9 } });
  socket.say({ message: inGroup("g", 10) });
  assert.deepEqual(texts(made.messages), told([2, 3, 4, 10]));
  assert.equal(made.client.conversation(g)!.left, undefined);
});

test("a group that may not be asked for does not keep the others waiting", async () => {
  const made = fixture();
  const socket = await startLive(made, { groups: [top("g", 1, 1), top("h", 1, 1)] });
  socket.say({ message: inGroup("g", 3) });
  socket.say({ message: inGroup("h", 3) });
  await made.clock.advance(300);
  socket.refuse(socket.last("syncGroups"), "not_allowed", 40300, false);
  await settle();
  assert.deepEqual(begins(socket), [{ conversation: g, begin: 2 }]);
  socket.refuse(socket.last("syncGroups"), "not_allowed", 40300, false);
  await settle();
  assert.deepEqual(begins(socket), [{ conversation: "group:h", begin: 2 }]);
  page(socket, { group: "h", seqs: [2, 3], top: 3 });
  await made.clock.advance(30_000);
  assert.deepEqual(texts(made.messages), told([2, 3], "h"));
});

test("a message to a super group is the one that comes back, before or after the answer", async () => {
  const [made, socket] = await inSuperGroup();
  for (const order of ["reply first", "push first"]) {
    const seq = order === "reply first" ? 2 : 3;
    const sent = made.client.send({ to: { group: "g" }, text: order });
    const row = inGroup("g", seq, { sender: "alice", clientMessageId: sent.id, text: order });
    const reply = { messageId: row.messageId, conversation: g, seq, timeMs: 5 };
    if (seq === 2) socket.reply(socket.last("send"), reply);
    else socket.say({ message: row });
    await settle();
    assert.equal(sent.status, "sent");
    assert.equal(sent.seq, seq);
    if (seq === 2) socket.say({ message: row });
    else socket.reply(socket.last("send"), reply);
    await settle();
  }
  await made.clock.advance(1_000);
  assert.deepEqual(made.messages, []);
  assert.equal(socket.all("syncGroups").length, 0);
  assert.deepEqual(texts(await made.client.history({ group: "g" })), ["reply first", "push first"]);
});

test("a message to a group that is fanned out on write comes back by the inbox and is told once", async () => {
  const made = fixture();
  const socket = await startLive(made);
  const sent = made.client.send({ to: { group: "g" }, text: "hi" });
  socket.reply(socket.last("send"), { messageId: "g-2", conversation: g, seq: 2, timeMs: 5 });
  await settle();
  assert.equal(sent.status, "sent");
  assert.deepEqual(texts(await made.client.history({ group: "g" })), ["hi"]);
  socket.say({ message: inGroup("g", 2, { inboxSeq: 1, sender: "alice", clientMessageId: sent.id, text: "hi" }) });
  socket.say({ message: inGroup("g", 3, { inboxSeq: 2 }) });
  await made.clock.advance(1_000);
  assert.deepEqual(texts(made.messages), told([3]));
  assert.equal(sent.inboxSeq, 1);
  assert.deepEqual(texts(await made.client.history({ group: "g" })), ["hi", "g 3"]);
});

test("a flood above a hole is bounded, and what was dropped is fetched", async () => {
  const [made, socket] = await inSuperGroup();
  for (const seq of range(3, 3_000)) socket.say({ message: inGroup("g", seq) });
  await made.clock.advance(300);
  page(socket, { seqs: [2], top: 3_000, next: 3 });
  await settle();
  assert.equal(made.messages.length, 2_001);
  assert.deepEqual(begins(socket), [{ conversation: g, begin: 2_003 }]);
});

test("the answer to a send counts as held, so that the loss of its push leaves no hole", async () => {
  const [made, socket] = await inSuperGroup();
  const sent = made.client.send({ to: { group: "g" }, text: "hi" });
  socket.reply(socket.last("send"), { messageId: "g-2", conversation: g, seq: 2, timeMs: 5 });
  await settle();
  socket.say({ message: inGroup("g", 3) });
  await made.clock.advance(1_000);
  assert.equal(sent.status, "sent");
  assert.deepEqual(texts(made.messages), told([3]));
  assert.equal(socket.all("syncGroups").length, 0);
});
