// Starts the authorization server that the end-to-end tests and the demo use in place of Okta.
//
//   node server.mjs --issuer https://acme.okta.com/oauth2/default --cert cert.pem --key key.pem
//                   [--https-port 0] [--mtls-port 0] [--http-port 0] [--control-port 0]
//
// Four sockets, all on 127.0.0.1: HTTPS is what Envoy reaches; mTLS is HTTPS that requests a client certificate, any one;
// plain HTTP serves the same provider to test clients that speak no TLS; the control channel (control.mjs) is for tests only.
// When all of them listen, one line of JSON goes to stdout: the ports, the issuer, and the clients with their secrets.

import { readFileSync } from 'node:fs';
import * as http from 'node:http';
import * as https from 'node:https';
import { parseArgs } from 'node:util';

import { controlListener } from './control.mjs';
import { KeyRing } from './key_ring.mjs';
import { KnownJwts } from './known_jwts.mjs';
import { CLIENTS, createProvider, lifetime } from './okta_provider.mjs';
import { TokenStore } from './token_store.mjs';

// The header Okta's documentation shows for the keys endpoint.
const KEYS_CACHE_CONTROL = 'max-age=3832304, must-revalidate';

const { values: options } = parseArgs({
  options: {
    issuer: { type: 'string', default: 'https://acme.okta.com/oauth2/default' },
    cert: { type: 'string' },
    key: { type: 'string' },
    'https-port': { type: 'string', default: '0' },
    'mtls-port': { type: 'string', default: '0' },
    'http-port': { type: 'string', default: '0' },
    'control-port': { type: 'string', default: '0' },
  },
});
if (!options.cert || !options.key) {
  console.error('usage: node server.mjs --cert cert.pem --key key.pem [--issuer URL] [--https-port N] [--mtls-port N] [--http-port N] [--control-port N]');
  process.exit(2);
}

const issuer = new URL(options.issuer);
const keyRing = await KeyRing.generate();
const requestCounts = new Map();
const tokenStore = new TokenStore();
const knownJwts = new KnownJwts(tokenStore, keyRing);

let answerAsProvider = createProvider(options.issuer, { keyRing, tokenStore, knownJwts }).callback();
keyRing.onChange(() => {
  answerAsProvider = createProvider(options.issuer, { keyRing, tokenStore, knownJwts }).callback();
});

// Whatever host and port the request came to, the provider believes it was reached at its issuer.
function answerUnderIssuer(request, response) {
  if (!request.url.startsWith(`${issuer.pathname}/`)) {
    response.writeHead(404, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ errorCode: 'E0000007', errorSummary: 'Not found' }));
    return;
  }
  request.originalUrl = request.url;
  request.url = request.url.slice(issuer.pathname.length);
  request.headers.host = issuer.host;
  request.headers['x-forwarded-proto'] = 'https';
  if (request.url === '/v1/keys') response.setHeader('cache-control', KEYS_CACHE_CONTROL);
  answerAsProvider(request, response);
}

function countAndAnswer(request, response) {
  const [path] = request.url.split('?');
  requestCounts.set(path, (requestCounts.get(path) ?? 0) + 1);
  answerUnderIssuer(request, response);
}

async function listen(server, port) {
  server.keepAliveTimeout = 65_000;
  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: '127.0.0.1', port: Number(port), backlog: 1024 }, resolve);
  });
  return server.address().port;
}

const credentials = { cert: readFileSync(options.cert), key: readFileSync(options.key) };
const ANY_CERTIFICATE = { requestCert: true, rejectUnauthorized: false };
const control = controlListener({ keyRing, knownJwts, lifetime, requestCounts });
const ready = {
  https_port: await listen(https.createServer(credentials, countAndAnswer), options['https-port']),
  mtls_port: await listen(https.createServer({ ...credentials, ...ANY_CERTIFICATE }, answerUnderIssuer), options['mtls-port']),
  http_port: await listen(http.createServer(answerUnderIssuer), options['http-port']),
  control_port: await listen(http.createServer(control), options['control-port']),
  issuer: options.issuer,
  clients: CLIENTS,
};
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => process.exit(0));
console.log(JSON.stringify(ready));
