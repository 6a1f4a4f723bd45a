// Bundles scripts for a page, as classic scripts or as modules: node bundle.mjs OUTDIR iife|esm FILE...
import { build } from "esbuild";

const [outdir, format, ...entryPoints] = process.argv.slice(2);
await build({ entryPoints, outdir, bundle: true, format, logLevel: "error" });
