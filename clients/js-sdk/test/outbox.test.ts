import assert from "node:assert/strict";
import test from "node:test";
import { memoryStore, type Message } from "../src/index.js";
import { settle } from "./fake_clock.js";
import { fromBob, type FakeSocket, type Request } from "./fake_server.js";
import { fixture, startLive, texts } from "./fixture.js";

const bob = { user: "bob" };

function accept(socket: FakeSocket, request: Request, inboxSeq: number): void {
  socket.reply(request, { messageId: `m${inboxSeq}`, conversation: "c-bob", seq: inboxSeq, inboxSeq, timeMs: 1_800_000_000_000 });
}

function sentTexts(socket: FakeSocket): unknown[] {
  return socket.all("send").map((request) => request.body.text);
}

/** The same message as the server pushes it to the other devices of its sender. */
function echo(message: Message, inboxSeq: number) {
  return {
    message: fromBob(inboxSeq, { sender: "alice", to: bob, clientMessageId: message.clientMessageId, text: message.text }),
  };
}

test("a send goes from sending to sent and carries the server's numbers", async () => {
  const made = fixture();
  const socket = await startLive(made);
  const message = made.client.send({ to: bob, text: "hi" });
  assert.equal(message.status, "sending");
  const request = socket.last("send");
  assert.deepEqual(request.body, { to: bob, clientMessageId: message.id, text: "hi" });
  accept(socket, request, 1);
  await settle();
  assert.deepEqual(made.statuses, ["hi:sending", "hi:sent"]);
  assert.equal(message.inboxSeq, 1);
  assert.equal(message.messageId, "m1");
  assert.equal(message.timeMs, 1_800_000_000_000);
});

test("the reply to a send counts as held, so that it leaves no hole and its push is not told", async () => {
  const made = fixture();
  const socket = await startLive(made);
  const message = made.client.send({ to: bob, text: "hi" });
  accept(socket, socket.last("send"), 1);
  await settle();
  socket.say(echo(message, 1));
  socket.say({ message: fromBob(2) });
  await made.clock.advance(1_000);
  assert.deepEqual(texts(made.messages), ["message 2"]);
  assert.equal(socket.all("sync").length, 0);
  assert.equal(socket.last("ack").body.inboxSeq, 2);
  assert.deepEqual(texts(await made.client.history(bob)), ["hi", "message 2"]);
});

test("messages to one receiver leave one after the other, to two receivers at once", async () => {
  const made = fixture();
  const socket = await startLive(made);
  for (const text of ["1", "2", "3"]) made.client.send({ to: bob, text });
  made.client.send({ to: { user: "carol" }, text: "c" });
  assert.deepEqual(sentTexts(socket), ["1", "c"]);
  accept(socket, socket.all("send")[0]!, 1);
  await settle();
  assert.deepEqual(sentTexts(socket), ["1", "c", "2"]);
});

test("what is written offline is sent in order once the client is live", async () => {
  const made = fixture();
  const before = made.client.send({ to: bob, text: "before connecting" });
  const socket = await startLive(made);
  accept(socket, socket.last("send"), 1);
  await settle();
  socket.drop();
  const typed = ["a", "b", "c"].map((text) => made.client.send({ to: bob, text }));
  assert.deepEqual(typed.map((message) => message.status), ["sending", "sending", "sending"]);
  await made.clock.advance(1_000);
  const again = await made.server.accept({ inboxTop: 2 });
  assert.deepEqual(sentTexts(again), [], "nothing is sent before the replay is in");
  again.say({ message: fromBob(2) });
  for (const index of [0, 1, 2]) {
    await settle();
    accept(again, again.all("send")[index]!, 3 + index);
  }
  await settle();
  assert.deepEqual(sentTexts(again), ["a", "b", "c"]);
  assert.deepEqual([before, ...typed].map((message) => message.status), ["sent", "sent", "sent", "sent"]);
});

test("an unanswered send goes out again under the same client message id, before what came after it", async () => {
  const made = fixture();
  const socket = await startLive(made);
  const first = made.client.send({ to: bob, text: "1" });
  made.client.send({ to: bob, text: "2" });
  socket.drop();
  assert.equal(first.status, "sending");
  await made.clock.advance(1_000);
  const again = await made.server.acceptLive();
  assert.deepEqual(again.last("send").body, socket.last("send").body);
  accept(again, again.last("send"), 1);
  await settle();
  assert.deepEqual(sentTexts(again), ["1", "2"]);
  accept(again, again.last("send"), 2);
  await settle();
  assert.deepEqual(made.statuses, ["1:sending", "2:sending", "1:sent", "2:sent"]);
});

test("a send whose answer was lost is known by the replay and not sent again", async () => {
  const made = fixture();
  const socket = await startLive(made);
  const message = made.client.send({ to: bob, text: "hi" });
  socket.drop();
  await made.clock.advance(1_000);
  const again = await made.server.accept({ inboxTop: 1 });
  again.say(echo(message, 1));
  await settle();
  assert.equal(message.status, "sent");
  assert.equal(message.inboxSeq, 1);
  assert.deepEqual(sentTexts(again), []);
  assert.deepEqual(made.messages, []);
});

test("a message of another device of the same user is told as an own one", async () => {
  const made = fixture();
  const socket = await startLive(made);
  socket.say({ message: fromBob(1, { sender: "alice", to: bob, clientMessageId: "elsewhere", text: "from my phone" }) });
  assert.equal(made.messages[0]!.own, true);
  assert.deepEqual(made.messages[0]!.peer, bob);
});

test("a refusal that is final fails the message and lets the next go", async () => {
  const made = fixture();
  const socket = await startLive(made);
  const refused = made.client.send({ to: bob, text: "1" });
  made.client.send({ to: bob, text: "2" });
  socket.refuse(socket.last("send"), "not_allowed", 40300, false);
  await settle();
  assert.equal(refused.status, "failed");
  assert.deepEqual(refused.failure, { code: "not_allowed", number: 40300, message: "not_allowed", retryable: false });
  assert.deepEqual(sentTexts(socket), ["1", "2"]);
  assert.deepEqual(texts(await made.client.history(bob)), ["1", "2"]);
});

test("retry sends a failed message again under the same id, and discard drops it", async () => {
  const made = fixture();
  const socket = await startLive(made);
  const message = made.client.send({ to: bob, text: "1" });
  socket.refuse(socket.last("send"), "not_allowed", 40300, false);
  await settle();
  made.client.retry(message);
  assert.equal(message.status, "sending");
  assert.equal(message.failure, undefined);
  assert.equal(socket.last("send").body.clientMessageId, message.id);
  socket.refuse(socket.last("send"), "not_allowed", 40300, false);
  await settle();
  made.client.discard(message);
  assert.deepEqual(await made.client.history(bob), []);
});

test("a refusal that may pass is tried again after a back-off and holds the order", async () => {
  const made = fixture();
  const socket = await startLive(made);
  const message = made.client.send({ to: bob, text: "1" });
  made.client.send({ to: bob, text: "2" });
  socket.refuse(socket.last("send"), "rate_limited", 42901, true);
  await settle();
  assert.equal(message.status, "sending");
  await made.clock.advance(749);
  assert.deepEqual(sentTexts(socket), ["1"]);
  await made.clock.advance(1);
  assert.deepEqual(sentTexts(socket), ["1", "1"]);
});

test("a send that is not answered on a living connection is repeated", async () => {
  const made = fixture();
  const socket = await startLive(made);
  made.client.send({ to: bob, text: "1" });
  await made.clock.advance(10_000 + 750);
  assert.deepEqual(sentTexts(socket), ["1", "1"]);
});

test("a text over 5,000 characters fails by itself, and one of 5,000 two-unit characters is sent", async () => {
  const made = fixture();
  const socket = await startLive(made);
  const long = made.client.send({ to: bob, text: "x".repeat(5_001) });
  assert.equal(long.status, "failed");
  assert.equal(long.failure!.code, "too_large");
  const emoji = made.client.send({ to: bob, text: "😀".repeat(5_000) });
  assert.equal(emoji.status, "sending");
  assert.equal(sentTexts(socket).length, 1);
  assert.equal((await made.client.history(bob)).length, 2, "the failed message stays to be seen");
});

test("a message that no frame can carry fails by itself instead of ending the connection", async () => {
  const made = fixture();
  const socket = await startLive(made);
  const message = made.client.send({ to: bob, custom: { type: "file", body: new Uint8Array(64 * 1024) } });
  assert.equal(message.failure!.code, "too_large");
  assert.equal(socket.all("send").length, 0);
});

test("the queue holds 500 and refuses the next", async () => {
  const made = fixture();
  const messages = Array.from({ length: 501 }, (_, index) => made.client.send({ to: bob, text: `${index}` }));
  assert.equal(messages[499]!.status, "sending");
  assert.equal(messages[500]!.status, "failed");
  assert.equal(messages[500]!.failure!.code, "queue_full");
});

test("an image and a custom body keep their shape on the wire", async () => {
  const made = fixture();
  const socket = await startLive(made);
  const image = { name: "a.png", hash: "h", url: "/a.png", type: "image/png", width: 1, height: 2, size: 3 };
  made.client.send({ to: bob, image });
  made.client.send({ to: { user: "carol" }, custom: { type: "poll", body: new Uint8Array([1, 2, 255]) } });
  assert.deepEqual(socket.all("send")[0]!.body.image, image);
  assert.deepEqual(socket.all("send")[1]!.body.custom, { type: "poll", body: "AQL/" });
  socket.say({ message: fromBob(1, { text: undefined, custom: { type: "poll", body: "AQL/" } }) });
  assert.deepEqual(made.messages[0]!.custom, { type: "poll", body: new Uint8Array([1, 2, 255]) });
});

test("what was not sent when the client ended is sent by the next one, and failures stay failed", async () => {
  const store = memoryStore();
  const earlier = fixture({ store });
  const socket = await startLive(earlier);
  const failed = earlier.client.send({ to: bob, text: "refused" });
  socket.refuse(socket.last("send"), "not_allowed", 40300, false);
  await settle();
  earlier.client.send({ to: bob, text: "unanswered" });
  await earlier.client.close();
  const later = fixture({ store });
  const again = await startLive(later);
  assert.deepEqual(sentTexts(again), ["unanswered"]);
  assert.equal(again.last("send").body.clientMessageId, socket.last("send").body.clientMessageId);
  const history = await later.client.history(bob);
  assert.deepEqual(history.map((message) => `${message.text}:${message.status}`), ["refused:failed", "unanswered:sending"]);
  assert.equal(history[0]!.id, failed.id);
});

test("at most 32 sends are under way at once, also after a reconnect", async () => {
  const made = fixture();
  const socket = await startLive(made);
  for (let index = 0; index < 40; index += 1) made.client.send({ to: { user: `user ${index}` }, text: `${index}` });
  assert.equal(socket.all("send").length, 32);
  socket.drop();
  await made.clock.advance(1_000);
  const again = await made.server.acceptLive();
  assert.equal(again.all("send").length, 32);
  accept(again, again.all("send")[0]!, 1);
  await settle();
  assert.equal(again.all("send").length, 33);
});
