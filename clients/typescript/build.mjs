// Compiles src/ as ES modules and as CommonJS, each with its types.

import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const compiler = createRequire(import.meta.url).resolve("typescript/bin/tsc");
rmSync("dist", { recursive: true, force: true });
for (const [folder, type] of [["esm", "module"], ["cjs", "commonjs"]]) {
  // TypeScript takes the format of a file from the nearest package.json.
  writeFileSync("src/package.json", JSON.stringify({ type }));
  try {
    execFileSync(process.execPath, [compiler, "--outDir", `dist/${folder}`], { stdio: "inherit" });
  } finally {
    rmSync("src/package.json");
  }
  mkdirSync(`dist/${folder}`, { recursive: true });
  writeFileSync(`dist/${folder}/package.json`, `${JSON.stringify({ type })}\n`);
}
