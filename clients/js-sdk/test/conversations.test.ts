import assert from "node:assert/strict";
import test from "node:test";
import { conversationId, memoryStore, peerOf, type Conversation, type Recalled } from "../src/index.js";
import { settle } from "./fake_clock.js";
import { fromBob, inGroup, type FakeSocket } from "./fake_server.js";
import { fixture, startLive, texts, type Fixture } from "./fixture.js";

const withBob = "single:5:alice:bob";
const g = "group:g";

function bobSays(seq: number, fields: Record<string, unknown> = {}) {
  return { message: fromBob(seq, { conversation: withBob, ...fields }) };
}

function stated(fields: Record<string, unknown>) {
  return { conversation: withBob, kind: "single", peer: "bob", top: 0, readUpTo: 0, unread: 0, mentioned: false, pinned: false, muted: false, joined: 0, ...fields };
}

/** A client whose server has these conversations from the start. */
async function startWith(made: Fixture, conversations: object[], version = 5): Promise<FakeSocket> {
  made.server.conversations = { conversations, version, more: false };
  return startLive(made);
}

function line(made: Fixture, place = withBob): Conversation {
  const found = made.client.conversation(place);
  assert.ok(found);
  return found;
}

test("a conversation's id is the same for both sides, whatever characters their ids have", () => {
  for (const [one, other, id] of [
    ["alice", "bob", "single:5:alice:bob"],
    ["a:b", "c", "single:3:a:b:c"],
    ["ab", "a", "single:1:a:ab"],
    ["me", "me", "single:2:me:me"],
    ["é", "z", "single:1:z:é"],
    ["\u{ffee}", "\u{1f600}", "single:3:\u{ffee}:\u{1f600}"],
  ] as const) {
    assert.equal(conversationId(one, { user: other }), id);
    assert.equal(conversationId(other, { user: one }), id);
    assert.deepEqual(peerOf(id, one), { user: other });
    assert.deepEqual(peerOf(id, other), { user: one });
    assert.equal(peerOf(id, "somebody"), undefined);
  }
  assert.deepEqual(peerOf("group:a:b", "me"), { group: "a:b" });
});

test("conversations are asked for from the version that is known, until there are no more", async () => {
  const made = fixture();
  made.server.conversations = undefined;
  const socket = await startLive(made);
  assert.deepEqual(socket.last("conversations").body, { version: 0, limit: 200 });
  socket.reply(socket.last("conversations"), { conversations: [stated({ unread: 2, top: 4 })], version: 3, more: true });
  await settle();
  assert.equal(socket.last("conversations").body.version, 3);
  const group = { ...stated({}), conversation: g, kind: "group", group: "g", name: "G" };
  socket.reply(socket.last("conversations"), { conversations: [group], version: 8, more: false });
  await settle();
  assert.deepEqual((await made.client.conversations()).map((one) => [one.name, one.unread]), [["bob", 2], ["G", 0]]);
  socket.drop();
  await made.clock.advance(1_000);
  const again = await made.server.acceptLive();
  assert.equal(again.last("conversations").body.version, 8);
  again.refuse(again.last("conversations"), "internal", 50001, true);
  await made.clock.advance(750);
  assert.equal(again.all("conversations").length, 2);
});

test("rows that come after the server's word are counted on top of it, and rows that are in it are not", async () => {
  const made = fixture();
  const socket = await startWith(made, [stated({ top: 2, unread: 2, last: fromBob(2, { conversation: withBob }) })]);
  assert.equal(line(made).unread, 2);
  for (const seq of [1, 2, 3]) socket.say(bobSays(seq));
  assert.equal(line(made).unread, 3);
  assert.equal(line(made).last!.text, "message 3");
  socket.say({ conversation: stated({ top: 2, unread: 2, pinned: true }) });
  assert.equal(line(made).unread, 3, "what came since is counted on top");
  assert.equal(line(made).pinned, true);
  socket.say({ conversation: stated({ top: 4, unread: 4 }) });
  socket.say(bobSays(4));
  assert.equal(line(made).unread, 4, "what was counted already is not counted again");
  socket.say({ groupEvent: inGroup("h", 1, { inboxSeq: 5, kind: "updated", by: "bob", users: [] }) });
  assert.equal(line(made, "group:h").unread, 0, "an event is not unread");
});

test("reading is known here at once, told to the server together, and kept until it is told", async () => {
  const made = fixture();
  const socket = await startWith(made, []);
  const changes: number[] = [];
  made.client.on("conversation", (conversation) => changes.push(conversation.unread));
  for (const seq of [1, 2, 3]) socket.say(bobSays(seq, { mentions: seq === 3 ? ["alice"] : undefined }));
  assert.equal(line(made).mentioned, true);
  made.client.read({ user: "bob" }, 1);
  assert.equal(line(made).unread, 2);
  made.client.read(withBob, 3);
  made.client.read(withBob, 2);
  assert.equal(line(made).unread, 0);
  assert.equal(line(made).mentioned, false);
  assert.deepEqual(changes, [1, 2, 3, 2, 0]);
  await made.clock.advance(300);
  assert.deepEqual(socket.all("read").map((request) => request.body), [{ conversation: withBob, seq: 3 }]);
  socket.refuse(socket.last("read"), "overloaded", 50301, true);
  await made.clock.advance(5_000);
  assert.equal(socket.all("read").length, 2);
  socket.drop();
  await made.clock.advance(1_000);
  const again = await made.server.acceptLive({ inboxTop: 3 });
  again.reply(again.last("read"), { readUpTo: 3 });
  await made.clock.advance(30_000);
  assert.equal(again.all("read").length, 1);
});

test("a word that was said before this device read on does not bring unread messages back", async () => {
  const made = fixture();
  const socket = await startWith(made, []);
  for (const seq of [1, 2]) socket.say(bobSays(seq));
  made.client.read(withBob, 2);
  socket.say({ conversation: stated({ top: 2, unread: 2, readUpTo: 0, muted: true }) });
  assert.equal(line(made).unread, 0);
  assert.equal(line(made).muted, true);
  socket.say(bobSays(3));
  assert.equal(line(made).unread, 1);
  socket.say({ conversation: stated({ top: 3, unread: 0, readUpTo: 3 }) });
  assert.equal(line(made).unread, 0, "read on another device");
});

test("what this user sends makes everything before it read", async () => {
  const made = fixture();
  const socket = await startWith(made, []);
  socket.say(bobSays(1));
  socket.say(bobSays(2, { sender: "alice", to: { user: "bob" }, clientMessageId: "phone" }));
  assert.equal(line(made).unread, 0);
  socket.say(bobSays(3));
  assert.equal(line(made).unread, 1);
});

test("receipts of the other one raise how far it has received and read", async () => {
  const made = fixture();
  const socket = await startWith(made, [stated({ top: 5, peerDeliveredUpTo: 2, peerReadUpTo: 1 })]);
  const receipts: unknown[] = [];
  made.client.on("receipt", (receipt) => receipts.push(receipt));
  socket.say({ receipt: { conversation: withBob, user: "bob", device: "d", delivered: 4 } });
  assert.deepEqual([line(made).peerDeliveredUpTo, line(made).peerReadUpTo], [4, 1]);
  socket.say({ receipt: { conversation: withBob, user: "bob", device: "d", read: 5 } });
  socket.say({ receipt: { conversation: withBob, user: "bob", device: "d", delivered: 3 } });
  assert.deepEqual([line(made).peerDeliveredUpTo, line(made).peerReadUpTo], [5, 5]);
  assert.deepEqual(receipts[1], { conversation: withBob, user: "bob", read: 5 });
});

test("a recall is told, empties what is stored, and shows in the list", async () => {
  const made = fixture();
  const recalls: Recalled[] = [];
  made.client.on("recalled", (recalled) => recalls.push(recalled));
  const socket = await startWith(made, []);
  socket.say(bobSays(1));
  socket.say({ recalled: { inboxSeq: 2, conversation: withBob, seq: 2, messageId: "m2", timeMs: 9, target: 1, by: "bob" } });
  assert.deepEqual(recalls.map((row) => [row.target, row.by, row.peer]), [[1, "bob", { user: "bob" }]]);
  const [first] = await made.client.history({ user: "bob" });
  assert.equal(first!.recalled, true);
  assert.equal(first!.text, undefined);
  assert.equal(line(made).last!.recalled, true);
  assert.equal(made.messages.length, 1);
});

test("history goes on at the server where the store ends", async () => {
  const made = fixture();
  const socket = await startWith(made, []);
  for (const seq of [1, 2, 3]) socket.say(bobSays(seq, { seq: seq + 10 }));
  socket.automatic = () => undefined;
  const rows = made.client.history(withBob, { limit: 5 });
  await settle();
  assert.deepEqual(socket.last("history").body, { conversation: withBob, limit: 2, before: 11 });
  socket.reply(socket.last("history"), { messages: [bobSays(9).message, bobSays(10).message], more: true });
  assert.deepEqual((await rows).map((row) => row.seq), [9, 10, 11, 12, 13]);
  const older = made.client.history(withBob, { before: 9, limit: 5 });
  await settle();
  socket.refuse(socket.last("history"), "internal", 50001, true);
  assert.deepEqual(await older, []);
  socket.drop();
  assert.deepEqual((await made.client.history(withBob, { limit: 5 })).map((row) => row.seq), [11, 12, 13]);
});

test("conversations are there without a connection, and what waits to be sent stands in them", async () => {
  const store = memoryStore();
  const earlier = fixture({ store });
  const socket = await startWith(earlier, [stated({ top: 1, unread: 1, last: fromBob(1, { conversation: withBob }) })], 77);
  socket.say(bobSays(2, { inboxSeq: 1 }));
  await earlier.client.close();
  const later = fixture({ store });
  later.client.send({ to: { user: "carol" }, text: "offline" });
  const shown = (await later.client.conversations()).map((one) => [one.name, one.unread, one.last?.text]);
  assert.deepEqual(shown, [["bob", 2, "message 2"], ["carol", 0, "offline"]]);
  const again = await startLive(later, { inboxTop: 1 });
  assert.equal(again.last("conversations").body.version, 77);
});

test("mentions, answers and every content travel and come back", async () => {
  const made = fixture();
  const socket = await startWith(made, []);
  const media = { name: "n", hash: "h", url: "https://u", type: "t", size: 1 };
  const contents = [
    { audio: { ...media, durationMs: 5 } },
    { video: { ...media, width: 1, height: 2, durationMs: 5, coverUrl: "" } },
    { file: media },
    { location: { latitude: 1.5, longitude: -2, title: "t", address: "a" } },
  ];
  for (const [index, content] of contents.entries()) {
    made.client.send({ to: { group: `to ${index}` }, ...content });
    assert.deepEqual(socket.last("send").body, { ...socket.last("send").body, ...content });
    socket.say(bobSays(index + 1, { text: undefined, ...content }));
    const { audio, video, file, location } = made.messages.at(-1)!;
    assert.deepEqual(JSON.parse(JSON.stringify({ audio, video, file, location })), content);
  }
  made.client.send({ to: { group: "g" }, text: "@bob", mentions: ["bob"], mentionAll: true, replyTo: 3 });
  const { mentions, mentionAll, replyTo } = socket.last("send").body;
  assert.deepEqual({ mentions, mentionAll, replyTo }, { mentions: ["bob"], mentionAll: true, replyTo: 3 });
  socket.say({ message: inGroup("g", 1, { inboxSeq: 5, mentionAll: true, replyTo: 2 }) });
  assert.equal(made.messages.at(-1)!.mentionAll, true);
  assert.equal(made.messages.at(-1)!.replyTo, 2);
  assert.equal(line(made, g).mentioned, true);
  assert.deepEqual(texts(made.messages.slice(-1)), ["g 1"]);
});
