import assert from "node:assert/strict";
import test from "node:test";
import type { RoomMessage } from "../src/index.js";
import { settle } from "./fake_clock.js";
import { fixture, startLive, type Fixture } from "./fixture.js";

const room = "live://1";

function heard(made: Fixture): RoomMessage[] {
  const messages: RoomMessage[] = [];
  made.client.on("room", (message) => messages.push(message));
  return messages;
}

test("a room is joined with the log-in and again with every reconnect", async () => {
  const made = fixture();
  const joined = made.client.joinRoom(room);
  const socket = await startLive(made);
  await joined;
  assert.deepEqual(socket.last("auth").body.rooms, [room]);
  socket.drop();
  await made.clock.advance(1_000);
  const again = await made.server.acceptLive();
  assert.deepEqual(again.last("auth").body.rooms, [room]);
  assert.equal(again.all("join").length, 0);
});

test("joining and leaving while connected asks the server", async () => {
  const made = fixture();
  const socket = await startLive(made);
  const joined = made.client.joinRoom(room);
  assert.deepEqual(socket.last("join").body, { rooms: [room] });
  socket.reply(socket.last("join"));
  await joined;
  const left = made.client.leaveRoom(room);
  assert.deepEqual(socket.last("leave").body, { rooms: [room] });
  socket.reply(socket.last("leave"));
  await left;
  socket.drop();
  await made.clock.advance(1_000);
  assert.deepEqual((await made.server.acceptLive()).last("auth").body.rooms, []);
});

test("a room that changes while the log-in is under way is made good after it", async () => {
  const made = fixture();
  const first = made.client.joinRoom("live://old");
  made.client.connect().catch(() => {});
  await settle();
  made.server.socket.open();
  const left = made.client.leaveRoom("live://old");
  const joined = made.client.joinRoom(room);
  const socket = await made.server.acceptLive();
  assert.deepEqual(socket.last("auth").body.rooms, ["live://old"]);
  assert.deepEqual(socket.last("join").body, { rooms: [room] });
  assert.deepEqual(socket.last("leave").body, { rooms: ["live://old"] });
  socket.reply(socket.last("join"));
  await Promise.all([first, left, joined]);
});

test("a refused join rejects and is not repeated with the next connection", async () => {
  const made = fixture();
  const socket = await startLive(made);
  const joined = made.client.joinRoom(room);
  socket.refuse(socket.last("join"), "not_allowed", 40300, false);
  await assert.rejects(joined, { code: "not_allowed", number: 40300 });
  socket.drop();
  await made.clock.advance(1_000);
  assert.deepEqual((await made.server.acceptLive()).last("auth").body.rooms, []);
});

test("a join that is cut off is made by the next connection", async () => {
  const made = fixture();
  const socket = await startLive(made);
  const joined = made.client.joinRoom(room);
  socket.drop();
  await made.clock.advance(1_000);
  assert.deepEqual((await made.server.acceptLive()).last("auth").body.rooms, [room]);
  await joined;
});

test("a room's own echo is marked, whether it comes before or after the answer", async () => {
  const made = fixture();
  const socket = await startLive(made);
  const messages = heard(made);
  const sent = made.client.send({ to: { room }, text: "hello" });
  assert.deepEqual(socket.last("send").body.to, { room });
  socket.say({ room: { room, sender: "alice", text: "hello", timeMs: 5 } });
  socket.reply(socket.last("send"), { messageId: "", seq: 0, inboxSeq: 0 });
  await settle();
  assert.equal(sent.status, "sent");
  socket.say({ room: { room, sender: "alice", text: "hello", timeMs: 6 } });
  socket.say({ room: { room, sender: "bob", text: "hello", timeMs: 7 } });
  assert.deepEqual(messages.map((message) => message.echoOf), [sent.id, undefined, undefined]);
});

test("a room push of the server API carries bytes", async () => {
  const made = fixture();
  const socket = await startLive(made);
  const messages = heard(made);
  const pushes: unknown[] = [];
  made.client.on("push", (push) => pushes.push(push));
  socket.say({ room: { room, op: 1000, body: "aGk=" } });
  socket.say({ push: { op: 1001, body: "aGk=" } });
  assert.equal(messages[0]!.op, 1000);
  assert.equal(new TextDecoder().decode(messages[0]!.body), "hi");
  assert.deepEqual(pushes, [{ op: 1001, body: new Uint8Array([104, 105]) }]);
});
