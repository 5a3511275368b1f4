// npm `jose` as the second judge: tokens on stdin, one JSON text a line; a verdict a line on stdout.
// The first line holds what all judges expect: {issuer, audience, algorithms, tolerance, now, keys}.
import { createInterface } from "node:readline";
import { createLocalJWKSet, jwtVerify } from "jose";

const lines = createInterface({ input: process.stdin, crlfDelay: Infinity })[Symbol.asyncIterator]();
const expected = JSON.parse((await lines.next()).value);
const keys = createLocalJWKSet({ keys: expected.keys });
const options = {
  issuer: expected.issuer,
  audience: expected.audience,
  algorithms: expected.algorithms,
  clockTolerance: expected.tolerance,
  currentDate: new Date(expected.now * 1000),
  requiredClaims: ["exp", "iss", "aud"],
};
const verdicts = [];
for await (const line of lines) {
  try {
    await jwtVerify(JSON.parse(line), keys, options);
    verdicts.push({ verdict: "accept", reason: "" });
  } catch (error) {
    verdicts.push({ verdict: "reject", reason: `${error.code ?? error.name}: ${error.message}`.slice(0, 120) });
  }
}
process.stdout.write(verdicts.map((verdict) => JSON.stringify(verdict) + "\n").join(""));
