// Bundles the SDK into dist/index.js, or with --tests every test file into build/.
import { build } from "esbuild";
import { readdirSync, rmSync } from "node:fs";

const common = { bundle: true, format: "esm", target: "es2022", logLevel: "warning" };

if (process.argv.includes("--tests")) {
  rmSync("build", { recursive: true, force: true });
  await build({
    ...common,
    entryPoints: readdirSync("test").filter((name) => name.endsWith(".test.ts")).map((name) => `test/${name}`),
    outdir: "build",
    platform: "node",
    packages: "external",
    sourcemap: "inline",
  });
} else {
  rmSync("dist", { recursive: true, force: true });
  await build({ ...common, entryPoints: ["src/index.ts"], outfile: "dist/index.js", sourcemap: true });
}
