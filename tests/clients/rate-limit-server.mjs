// A rate-limit service as Envoy asks it, over TLS on a free port of 127.0.0.1. Its one argument is JSON: {"limits": what
// the configuration file of envoyproxy/ratelimit says, "certificate", "private_key": files}. The first line of its output is
// {"port": …}, then comes one for each call: {"domain", "descriptors": [{"entries": [[key, value], …], "limit": the
// keys and values in the file that it came to, or null}]}.
//
// It counts in memory and knows of that file what our examples have. As there, a request counts for each of its
// descriptors, also when it is refused. Unlike there, a window begins with its first request and not with the clock's
// minute, so that a test never meets the end of one.
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { readFileSync } from 'node:fs';

const { limits, certificate, private_key } = JSON.parse(process.argv[2]);
const SECONDS = { second: 1, minute: 60, hour: 3600, day: 86400 };
const windows = new Map();

// A value that the file names goes before one that it does not, and a limit holds for as many entries as it is deep.
function find(entries) {
  let level = limits.descriptors;
  let found;
  const path = [];
  for (const { key, value } of entries) {
    const candidates = (level ?? []).filter((it) => it.key === key);
    found = candidates.find((it) => it.value === value) ?? candidates.find((it) => it.value === undefined);
    if (!found) return {};
    path.push(found.value === undefined ? key : `${key}=${found.value}`);
    level = found.descriptors;
  }
  return found?.rate_limit ? { limit: found.rate_limit, path: path.join('/') } : {};
}

function count(domain, entries, limit, hits) {
  const name = JSON.stringify([domain, entries]);
  const now = Date.now() / 1000;
  let window = windows.get(name);
  if (!window || window.ends <= now) window = { used: 0, ends: now + SECONDS[limit.unit] };
  window.used += hits;
  windows.set(name, window);
  return {
    code: window.used > limit.requests_per_unit ? 'OVER_LIMIT' : 'OK',
    current_limit: { requests_per_unit: limit.requests_per_unit, unit: limit.unit.toUpperCase() },
    limit_remaining: Math.max(0, limit.requests_per_unit - window.used),
    duration_until_reset: { seconds: Math.ceil(window.ends - now) },
  };
}

function shouldRateLimit({ request: { domain, descriptors, hits_addend } }, answer) {
  const judged = descriptors.map(({ entries }) => ({ entries, ...(domain === limits.domain ? find(entries) : {}) }));
  const told = judged.map(({ entries, path }) => ({ entries: entries.map(({ key, value }) => [key, value]), limit: path ?? null }));
  console.log(JSON.stringify({ domain, descriptors: told }));
  const statuses = judged.map(({ entries, limit }) => (limit ? count(domain, entries, limit, hits_addend || 1) : { code: 'OK' }));
  const over = statuses.some(({ code }) => code === 'OVER_LIMIT');
  answer(null, { overall_code: over ? 'OVER_LIMIT' : 'OK', statuses });
}

const proto = loadSync(new URL('rate-limit-service.proto', import.meta.url).pathname, { keepCase: true, enums: String, defaults: true });
const server = new Server();
server.addService(proto['envoy.service.ratelimit.v3.RateLimitService'], { ShouldRateLimit: shouldRateLimit });
const key = { private_key: readFileSync(private_key), cert_chain: readFileSync(certificate) };
server.bindAsync('127.0.0.1:0', ServerCredentials.createSsl(null, [key]), (fault, port) => {
  if (fault) throw fault;
  console.log(JSON.stringify({ port }));
});
