// The SDK in Node, for the many who are in a group without a page of their own.
import { build } from "esbuild";
import { eventually } from "./person.mjs";

const bundle = await build({
  entryPoints: [new URL("../../js-sdk/src/index.ts", import.meta.url).pathname],
  bundle: true,
  format: "esm",
  write: false,
});
const { AnserClient } = await import(`data:text/javascript;base64,${Buffer.from(bundle.outputFiles[0].contents).toString("base64")}`);

export class LightClient {
  /** Everything that was told, in order: texts, and events as `[kind]`. */
  heard = [];

  constructor(server, name, options = {}) {
    this.name = name;
    this.client = new AnserClient({ url: server.url.replace(/^http/, "ws") + "sub", user: name, device: `light-${name}`, ...options });
    this.client.on("message", (message) => this.heard.push(message.text));
    this.client.on("groupEvent", (event) => this.heard.push(`[${event.kind}]`));
    this.client.on("recalled", (row) => this.heard.push(`[recalled ${row.target}]`));
  }

  static async enter(server, name, options) {
    const light = new LightClient(server, name, options);
    await light.client.connect();
    return light;
  }

  /** The texts alone. */
  texts() {
    return this.heard.filter((text) => !text.startsWith("["));
  }

  /** Sends and waits until the server has it. */
  async say(to, ...texts) {
    const sent = texts.map((text) => this.client.send({ to, text }));
    await eventually(() => sent.every((message) => message.status === "sent"), true, `what ${this.name} sent`);
    return sent;
  }

  close() {
    return this.client.close();
  }
}
