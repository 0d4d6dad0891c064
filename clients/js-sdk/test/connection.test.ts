import assert from "node:assert/strict";
import test from "node:test";
import { backoffMs } from "../src/backoff.js";
import { AnserError } from "../src/index.js";
import { settle } from "./fake_clock.js";
import { fixture, start, startLive } from "./fixture.js";

test("back-off lies between half a second and twenty seconds and spreads over the whole span", () => {
  for (let attempt = 0; attempt < 40; attempt += 1) {
    const shortest = backoffMs(attempt, () => 0);
    const longest = backoffMs(attempt, () => 0.999999);
    assert.equal(shortest, 500);
    assert.ok(longest > 500 && longest <= 20_000, `attempt ${attempt} waits ${longest}`);
    if (attempt >= 6) assert.equal(longest, 20_000);
  }
});

test("the client passes from idle over connecting and syncing to live", async () => {
  const made = fixture();
  assert.equal(made.client.state.name, "idle");
  const connected = made.client.connect();
  const socket = await made.server.acceptLive();
  await connected;
  assert.deepEqual(made.states.map((state) => state.name), ["connecting", "syncing", "live"]);
  assert.equal(socket.protocol, "anser.v1.json");
  assert.deepEqual(socket.last("auth").body, { user: "alice", device: "test-1", platform: "node", rooms: [] });
});

test("a lost connection is opened again after a back-off that grows and starts small again once live", async () => {
  const made = fixture();
  const socket = await startLive(made);
  socket.drop();
  assert.deepEqual(made.states.at(-1), { name: "waiting", retryInMs: 750, attempt: 1, code: "close_1006" });
  await made.clock.advance(750);
  assert.equal(made.server.sockets.length, 2);
  made.server.socket.drop();
  assert.deepEqual(made.states.at(-1), { name: "waiting", retryInMs: 1_000, attempt: 2, code: "close_1006" });
  await made.clock.advance(1_000);
  const again = await made.server.acceptLive();
  again.drop();
  assert.deepEqual(made.states.at(-1), { name: "waiting", retryInMs: 750, attempt: 1, code: "close_1006" });
});

for (const code of [4000, 4001, 4005, 4499, 1001, 1011]) {
  test(`close code ${code} leads to another try`, async () => {
    const made = fixture();
    (await startLive(made)).drop(code);
    assert.equal(made.client.state.name, "waiting");
    await made.clock.advance(1_000);
    assert.equal(made.server.sockets.length, 2);
  });
}

for (const [code, name] of [[4500, "close_4500"], [4501, "token_rejected"], [4504, "replaced_by_login"], [4509, "auth_timeout"], [4999, "close_4999"]] as const) {
  test(`close code ${code} is final`, async () => {
    const made = fixture();
    (await startLive(made)).drop(code, "because");
    assert.deepEqual(made.client.state, { name: "closed", code: name, number: code, message: "because" });
    made.wake();
    await made.clock.advance(120_000);
    assert.equal(made.server.sockets.length, 1);
  });
}

test("a kicked push tells why and ends the client even when the close code is lost", async () => {
  const made = fixture();
  const kicked: unknown[] = [];
  made.client.on("kicked", (reason) => kicked.push(reason));
  const socket = await startLive(made);
  const reason = { code: "replaced_by_device", number: 4503, message: "opened elsewhere" };
  socket.say({ kicked: reason });
  socket.drop(1006);
  assert.deepEqual(kicked, [reason]);
  assert.deepEqual(made.client.state, { name: "closed", ...reason });
  assert.equal(socket.isClosedByClient, true);
  await made.clock.advance(120_000);
  assert.equal(made.server.sockets.length, 1);
});

test("connect starts again after a final close when the user asks for it", async () => {
  const made = fixture();
  (await startLive(made)).drop(4503);
  const connected = made.client.connect();
  await made.server.acceptLive();
  await connected;
  assert.equal(made.client.state.name, "live");
});

test("connect rejects only when the server is final", async () => {
  const made = fixture();
  const connected = made.client.connect();
  await settle();
  made.server.socket.drop(1006);
  await made.clock.advance(1_000);
  made.server.socket.drop(4502);
  await assert.rejects(connected, (error: AnserError) => error.code === "kicked" && error.number === 4502);
});

test("a refused auth request is final unless it may be tried again", async () => {
  const made = fixture();
  start(made);
  await settle();
  made.server.socket.open();
  made.server.socket.refuse(made.server.socket.last("auth"), "overloaded", 50301, true);
  await settle();
  assert.equal(made.client.state.name, "waiting");
  await made.clock.advance(1_000);
  made.server.socket.open();
  made.server.socket.refuse(made.server.socket.last("auth"), "unauthenticated", 40100, false);
  await settle();
  assert.deepEqual(made.client.state, { name: "closed", code: "unauthenticated", number: 40100, message: "unauthenticated" });
});

test("an expired token is replaced once", async () => {
  const reasons: string[] = [];
  const made = fixture({
    getToken: ({ reason }) => {
      reasons.push(reason);
      return `token ${reasons.length}`;
    },
  });
  start(made);
  for (const expected of ["waiting", "closed"]) {
    await made.clock.advance(1_000);
    const socket = made.server.socket;
    socket.open();
    socket.refuse(socket.last("auth"), "token_expired", 40101, false);
    await settle();
    assert.equal(made.client.state.name, expected);
  }
  assert.deepEqual(reasons, ["connect", "expired"]);
  assert.equal(made.server.sockets[1]!.last("auth").body.token, "token 2");
});

test("a token source that fails is asked again, and one that refuses ends the client", async () => {
  let call = 0;
  const made = fixture({
    getToken: async () => {
      call += 1;
      throw call === 1 ? new Error("no network") : new AnserError("logged_out", "log in again", false);
    },
  });
  start(made);
  await settle();
  assert.equal(made.client.state.name, "waiting");
  await made.clock.advance(1_000);
  assert.deepEqual(made.client.state, { name: "closed", code: "logged_out", number: 0, message: "log in again" });
});

test("a heartbeat that is not answered leads to another connection", async () => {
  const made = fixture();
  const socket = await startLive(made);
  socket.automatic = () => undefined;
  await made.clock.advance(20_000);
  assert.equal(socket.all("heartbeat").length, 1);
  assert.equal(made.client.state.name, "live");
  await made.clock.advance(10_000);
  assert.equal(made.client.state.name, "waiting");
  assert.equal(socket.isClosedByClient, true);
});

test("a connection that brings other frames is not given up for a slow heartbeat reply", async () => {
  const made = fixture();
  const socket = await startLive(made);
  socket.automatic = () => undefined;
  await made.clock.advance(25_000);
  socket.say({ push: { op: 1000, body: "" } });
  await made.clock.advance(6_000);
  assert.equal(made.client.state.name, "live");
});

test("heartbeats go on for as long as they are answered", async () => {
  const made = fixture();
  const socket = await startLive(made);
  await made.clock.advance(100_000);
  assert.equal(socket.all("heartbeat").length, 5);
  assert.equal(made.client.state.name, "live");
});

test("a sign of the network ends the wait at once and checks a connection that exists", async () => {
  const made = fixture();
  const socket = await startLive(made);
  made.wake();
  assert.equal(socket.all("heartbeat").length, 1);
  socket.drop();
  made.wake();
  await settle();
  assert.equal(made.server.sockets.length, 2);
  await made.clock.advance(5_000);
  assert.equal(made.server.sockets.length, 2);
});

test("a socket that does not open and an auth that is not answered are given up", async () => {
  const made = fixture();
  start(made);
  await made.clock.advance(10_000);
  assert.equal(made.client.state.name, "waiting");
  await made.clock.advance(1_000);
  assert.equal(made.server.sockets.length, 2);
  made.server.socket.open();
  await made.clock.advance(10_000);
  assert.equal(made.client.state.name, "waiting");
});

test("the server may move the client after a delay to an address, which is tried once", async () => {
  const made = fixture();
  const socket = await startLive(made);
  socket.say({ reconnect: { afterMs: 3_000, url: "ws://other/sub" } });
  await made.clock.advance(2_999);
  assert.equal(made.server.sockets.length, 1);
  await made.clock.advance(1);
  assert.equal(socket.isClosedByClient, true);
  assert.equal(made.server.socket.url, "ws://other/sub");
  made.server.socket.drop();
  await made.clock.advance(1_000);
  assert.equal(made.server.socket.url, "ws://server/sub");
});

test("a draining server's delay is kept when it closes first", async () => {
  const made = fixture();
  const socket = await startLive(made);
  socket.say({ reconnect: { afterMs: 5_000 } });
  await made.clock.advance(1_000);
  socket.drop(4001);
  assert.deepEqual(made.client.state, { name: "waiting", retryInMs: 4_000, attempt: 1, code: "draining" });
});

test("what is no frame is reported and does not end the connection", async () => {
  const made = fixture();
  const socket = await startLive(made);
  socket.onmessage?.({ data: "{" });
  socket.onmessage?.({ data: new ArrayBuffer(2) });
  socket.onmessage?.({ data: "[]" });
  socket.onmessage?.({ data: "null" });
  socket.say({ somethingElse: { a: 1 } });
  socket.say({ message: null });
  assert.deepEqual(made.errors, ["bad_frame", "bad_frame", "bad_frame", "bad_frame"]);
  assert.equal(made.client.state.name, "live");
});

test("a token of another user ends the client before anything is mixed", async () => {
  const made = fixture();
  start(made);
  await made.server.accept({ user: "mallory", inboxTop: 3 });
  assert.equal(made.client.state.name, "closed");
  assert.match(JSON.stringify(made.client.state), /user_mismatch/);
});

test("closing is final and ends everything that runs", async () => {
  const made = fixture();
  const socket = await startLive(made);
  await made.client.close();
  assert.deepEqual(made.client.state.name, "closed");
  assert.equal(socket.isClosedByClient, true);
  await made.clock.advance(120_000);
  assert.equal(made.server.sockets.length, 1);
});
