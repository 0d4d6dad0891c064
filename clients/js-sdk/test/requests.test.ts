import assert from "node:assert/strict";
import test from "node:test";
import type { Member, Presence } from "../src/index.js";
import { settle } from "./fake_clock.js";
import { fixture, startLive } from "./fixture.js";

test("every call about groups says what the protocol says", async () => {
  const made = fixture();
  const socket = await startLive(made);
  const { groups } = made.client;
  const calls: [() => Promise<unknown>, string, object, Record<string, unknown>?, unknown?][] = [
    [() => groups.create({ name: "G", members: ["bob"], kind: "super" }), "groupCreate", { name: "G", members: ["bob"], kind: "super" }, { group: "g", conversation: "group:g" }, { group: "g", conversation: "group:g" }],
    [() => groups.invite("g", ["bob", "carol"]), "groupInvite", { group: "g", users: ["bob", "carol"] }, { invited: ["carol"] }, ["carol"]],
    [() => groups.join("g", "please"), "groupJoin", { group: "g", text: "please" }, { joined: false }, false],
    [() => groups.leave("g"), "groupLeave", { group: "g" }],
    [() => groups.remove("g", ["bob"]), "groupRemove", { group: "g", users: ["bob"] }, { removed: ["bob"] }, ["bob"]],
    [() => groups.dismiss("g"), "groupDismiss", { group: "g" }],
    [() => groups.update("g", { name: "H", join: "open" }), "groupUpdate", { group: "g", name: "H", join: "open" }],
    [() => groups.setRole("g", ["bob"], "admin"), "groupRole", { group: "g", users: ["bob"], role: "admin" }],
    [() => groups.mute("g", ["bob"], 60_000), "groupMute", { group: "g", users: ["bob"], muted: true, durationMs: 60_000 }],
    [() => groups.unmute("g"), "groupMute", { group: "g", users: [], muted: false }],
    [() => groups.requests("g"), "groupRequests", { group: "g" }, { requests: [{ group: "g", user: "dan", text: "hi", timeMs: 5 }] }, [{ group: "g", user: "dan", text: "hi", timeMs: 5 }]],
    [() => groups.answer("g", "dan", true), "groupAnswer", { group: "g", user: "dan", accept: true }],
    [() => made.client.recall({ group: "g" }, 4), "recall", { conversation: "group:g", seq: 4 }, { seq: 9 }],
    [() => made.client.readers("group:g", 4), "readers", { conversation: "group:g", seq: 4 }, { count: 1, users: ["bob"] }, { count: 1, users: ["bob"] }],
    [() => made.client.update({ user: "bob" }, { pinned: true }), "conversationUpdate", { conversation: "single:5:alice:bob", pinned: true }],
    [() => made.client.block("bob"), "block", { user: "bob" }],
    [() => made.client.unblock("bob"), "unblock", { user: "bob" }],
    [() => made.client.blocks(), "blocks", {}, { users: ["bob"] }, ["bob"]],
  ];
  for (const [call, name, body, reply = {}, expected] of calls) {
    const answered = call();
    assert.deepEqual(socket.last(name).body, body);
    socket.reply(socket.last(name), reply);
    assert.deepEqual(await answered, expected, name);
  }
});

test("a refusal of a call carries the server's words", async () => {
  const made = fixture();
  const socket = await startLive(made);
  const asked = made.client.groups.dismiss("g");
  socket.refuse(socket.last("groupDismiss"), "not_allowed", 40300, false);
  await assert.rejects(asked, { code: "not_allowed", number: 40300, retryable: false });
  socket.drop();
  await assert.rejects(made.client.groups.info("g"), { code: "connection_lost", retryable: true });
});

test("members are asked for page by page, as far as they are looked at", async () => {
  const made = fixture();
  const socket = await startLive(made);
  const member = (user: string) => ({ user, role: "member", joinedMs: 5, mutedUntilMs: 0 });
  const seen: Member[] = [];
  const all = (async () => {
    for await (const one of made.client.groups.members("g", 2)) seen.push(one);
  })();
  assert.deepEqual(socket.last("groupMembers").body, { group: "g", cursor: "", limit: 2 });
  socket.reply(socket.last("groupMembers"), { members: [member("a"), member("b")], next: "b" });
  await settle();
  assert.deepEqual(socket.last("groupMembers").body, { group: "g", cursor: "b", limit: 2 });
  socket.reply(socket.last("groupMembers"), { members: [member("c")], next: "" });
  await all;
  assert.deepEqual(seen, [member("a"), member("b"), member("c")]);
});

test("who is watched is watched again with every connection", async () => {
  const made = fixture();
  const told: Presence[] = [];
  made.client.on("presence", (presence) => told.push(presence));
  await made.client.watch(["bob"]);
  const socket = await startLive(made);
  assert.deepEqual(socket.last("watch").body, { users: ["bob"] });
  socket.reply(socket.last("watch"), { users: [{ user: "bob", devices: [], lastSeenMs: 0 }] });
  await settle();
  socket.say({ presence: { user: "bob", online: true, lastSeenMs: 7 } });
  assert.deepEqual(told, [{ user: "bob", devices: [], lastSeenMs: 0 }, { user: "bob", online: true, devices: [], lastSeenMs: 7 }]);
  const more = made.client.watch(["bob", "carol"]);
  assert.deepEqual(socket.last("watch").body, { users: ["carol"] });
  socket.reply(socket.last("watch"), { users: [] });
  await more;
  const fewer = made.client.unwatch(["bob", "nobody"]);
  assert.deepEqual(socket.last("unwatch").body, { users: ["bob"] });
  socket.reply(socket.last("unwatch"));
  await fewer;
  socket.drop();
  await made.clock.advance(1_000);
  assert.deepEqual((await made.server.acceptLive()).last("watch").body, { users: ["carol"] });
});

test("typing is said every few seconds, to each receiver on its own, and heard", async () => {
  const made = fixture();
  const heard: unknown[] = [];
  made.client.on("typing", (typing) => heard.push(typing));
  const socket = await startLive(made);
  for (let key = 0; key < 5; key += 1) made.client.typing({ user: "bob" });
  made.client.typing({ group: "g" });
  assert.deepEqual(socket.all("typing").map((request) => request.body), [{ to: { user: "bob" } }, { to: { group: "g" } }]);
  await made.clock.advance(3_000);
  made.client.typing({ user: "bob" });
  assert.equal(socket.all("typing").length, 3);
  socket.say({ typing: { conversation: "group:g", user: "carol" } });
  assert.deepEqual(heard, [{ conversation: "group:g", peer: { group: "g" }, user: "carol" }]);
});

test("a wish to be let into a group is told", async () => {
  const made = fixture();
  const requests: unknown[] = [];
  made.client.on("groupRequest", (request) => requests.push(request));
  const socket = await startLive(made);
  socket.say({ groupRequest: { group: "g", user: "dan", text: "hi", timeMs: 5 } });
  assert.deepEqual(requests, [{ group: "g", user: "dan", text: "hi", timeMs: 5 }]);
});
