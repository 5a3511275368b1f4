// Reads TAP from standard input with npm's tap-parser, strictly, and writes what it finds as JSON.
import { Parser } from "tap-parser";

const found = { points: [], comments: [], bailout: null, version: null, plan: null };
const parser = new Parser({ strict: true });
parser.on("assert", ({ ok, id, name, diag, skip, todo }) => found.points.push({ ok, id, name, diag: diag ?? null, skip: !!skip, todo: !!todo }));
parser.on("comment", (comment) => found.comments.push(comment));
parser.on("bailout", (reason) => (found.bailout = reason));
parser.on("version", (version) => (found.version = version));
parser.on("plan", ({ start, end }) => (found.plan = [start, end]));
parser.on("complete", ({ failures }) => {
  // Test points that are not ok count as failures, too; faults of the document have a `tapError`.
  found.faults = failures.map((failure) => failure.tapError).filter(Boolean);
  process.stdout.write(JSON.stringify(found));
});
process.stdin.pipe(parser);
