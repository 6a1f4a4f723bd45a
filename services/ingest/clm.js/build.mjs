// Builds the script that ingest serves: node build.mjs [OUTFILE].
import { build } from "esbuild";
import { readFileSync } from "node:fs";

const { version } = JSON.parse(readFileSync(new URL("package.json", import.meta.url)));
await build({
  entryPoints: [new URL("src/index.ts", import.meta.url).pathname],
  outfile: process.argv[2] ?? new URL("../src/clm_ingest/static/clm.js", import.meta.url).pathname,
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2019",
  charset: "utf8",
  legalComments: "none",
  define: { VERSION: JSON.stringify(version) },
  banner: { js: `/* clm.js ${version} | Apache-2.0 */` },
});
