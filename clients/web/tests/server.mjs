// Starts the real binary on a folder and a port of its own, and can kill it and start it again there.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

const binary = resolve(process.env.ANSER_BIN ?? new URL("../../../target/debug/anser", import.meta.url).pathname);
const readyWithinMs = 30_000;

export class Server {
  #data = mkdtempSync(join(tmpdir(), "anser-web-"));
  #flags;
  #process;

  constructor(port, flags) {
    this.port = port;
    this.#flags = flags;
  }

  /** `flags` are those of `anser serve`, such as `--dev`. */
  static async start(...flags) {
    const server = new Server(await freePort(), flags);
    try {
      await server.start();
    } catch (error) {
      await server.end();
      throw error;
    }
    return server;
  }

  get url() {
    return `http://127.0.0.1:${this.port}/`;
  }

  /** A token for `user`, made with the keys of this server. */
  token(user) {
    const made = spawnSync(binary, ["token", "new", "--user", user, "--data", this.#data], { encoding: "utf8" });
    if (made.status !== 0) throw new Error(`no token was made: ${made.stderr}`);
    return made.stdout.trim().split("\n").at(-1);
  }

  async start() {
    if (!existsSync(binary)) throw new Error(`there is no ${binary}: build it, or name another as ANSER_BIN`);
    const listen = ["--set", "listen.tcp=127.0.0.1:0", "--set", `listen.ws=127.0.0.1:${this.port}`, "--set", "listen.api=127.0.0.1:0"];
    const child = spawn(binary, ["serve", ...this.#flags, "--data", this.#data, ...listen], { stdio: ["ignore", "pipe", "pipe"] });
    this.#process = child;
    let said = "";
    child.stderr.on("data", (text) => (said += text));
    await new Promise((ready, reject) => {
      const tooLate = setTimeout(() => reject(new Error(`the server was not ready in time:\n${said}`)), readyWithinMs);
      child.on("error", reject);
      child.on("exit", (code) => {
        clearTimeout(tooLate);
        reject(new Error(`the server ended with ${code}:\n${said}`));
      });
      createInterface(child.stdout).on("line", (line) => {
        said += `${line}\n`;
        if (!line.startsWith("anser is ready")) return;
        clearTimeout(tooLate);
        ready();
      });
    });
  }

  /** Ends the process as a power cut would. */
  async kill() {
    const child = this.#process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }

  async end() {
    await this.kill();
    rmSync(this.#data, { recursive: true, force: true });
  }
}

/** A port below the ephemeral range: while the server is down nobody, not even a page that tries to connect to
 * it, is given it as its own. */
async function freePort() {
  for (;;) {
    const port = 15_000 + Math.floor(Math.random() * 15_000);
    const probe = createServer();
    const free = await new Promise((answer) => {
      probe.once("error", () => answer(false));
      probe.listen(port, "127.0.0.1", () => answer(true));
    });
    if (!free) continue;
    probe.close();
    await once(probe, "close");
    return port;
  }
}
