// Gets a token that is bound to a new key, and calls an API with it: by npm `openid-client`, which handles nonces by itself, or
// by npm `dpop`, which only makes proofs.
//
// Standard input: {"library": "openid-client" | "dpop", "algorithm", "issuer", "client_id", "client_secret", "scope", "resource",
// "ports": {origin: port}, "calls": [{"method", "url", "body"?}]}. The servers of `ports` speak plain HTTP on 127.0.0.1, as behind
// a TLS terminator. Standard output: {"token", "token_type", "issuer_exchanges", "calls": [{"error"?, "exchanges": [...]}]};
// an exchange is a request as it was sent with its response: {"method", "url", "proof", "status", "headers": [[name, value]], "body"}.

import * as http from 'node:http';
import { text } from 'node:stream/consumers';

import * as dpop from 'dpop';
import * as openid from 'openid-client';

const input = JSON.parse(await text(process.stdin));
let exchanges = [];

// `fetch` that finds the origins, and sees repeated header fields as they are.
async function fetchAtPorts(address, { method = 'GET', headers, body } = {}) {
  const url = new URL(address);
  const fields = Object.fromEntries(new Headers(headers));
  const payload = body === undefined || body === null ? undefined : String(body);
  const incoming = await new Promise((resolve, reject) => {
    const outgoing = http.request({
      host: '127.0.0.1', port: input.ports[url.origin], method, path: url.pathname + url.search,
      headers: { ...fields, host: url.host, ...(payload && { 'content-length': Buffer.byteLength(payload) }) },
    }, resolve);
    outgoing.on('error', reject);
    outgoing.end(payload);
  });
  const received = await text(incoming);
  const lines = [];
  for (let at = 0; at < incoming.rawHeaders.length; at += 2) lines.push([incoming.rawHeaders[at].toLowerCase(), incoming.rawHeaders[at + 1]]);
  exchanges.push({ method, url: url.href, proof: fields.dpop, status: incoming.statusCode, headers: lines, body: received });
  return new Response([204, 304].includes(incoming.statusCode) ? null : received, { status: incoming.statusCode, headers: lines });
}

async function byOpenidClient() {
  const authentication = openid.ClientSecretBasic(input.client_secret);
  const config = await openid.discovery(
    new URL(input.issuer), input.client_id, undefined, authentication, { [openid.customFetch]: fetchAtPorts },
  );
  const handle = openid.getDPoPHandle(config, await openid.randomDPoPKeyPair(input.algorithm));
  const { scope, resource } = input;
  const tokens = await openid.clientCredentialsGrant(config, { scope, resource }, { DPoP: handle });
  const call = ({ method, url, body }) => openid.fetchProtectedResource(
    config, tokens.access_token, new URL(url), method, body, undefined, { DPoP: handle },
  );
  return { token: tokens.access_token, token_type: tokens.token_type, call };
}

async function byDpop() {
  const keys = await dpop.generateKeyPair(input.algorithm);
  const nonces = {};
  // What the documentation of the library shows: the last nonce of an origin, and one retry where it was missing.
  const send = async (url, method, headers, body, token, isRetry = false) => {
    const { origin, pathname } = new URL(url);
    const proof = await dpop.generateProof(keys, origin + pathname, method, nonces[origin], token);
    const response = await fetchAtPorts(url, { method, headers: { ...headers, dpop: proof }, body });
    const nonce = response.headers.get('dpop-nonce');
    if (nonce) nonces[origin] = nonce;
    const said = `${response.headers.get('www-authenticate')} ${await response.clone().text()}`;
    return nonce && !isRetry && said.includes('use_dpop_nonce')
      ? send(url, method, headers, body, token, true)
      : response;
  };
  const basic = Buffer.from(`${input.client_id}:${input.client_secret}`).toString('base64');
  const form = { grant_type: 'client_credentials', scope: input.scope, resource: input.resource };
  const headers = { authorization: `Basic ${basic}`, 'content-type': 'application/x-www-form-urlencoded' };
  const issued = await send(`${input.issuer}/v1/token`, 'POST', headers, new URLSearchParams(form));
  const { access_token: token, token_type } = await issued.json();
  const call = ({ method, url, body }) => send(url, method, { authorization: `DPoP ${token}` }, body, token);
  return { token, token_type, call };
}

const clients = { 'openid-client': byOpenidClient, dpop: byDpop };
const { token, token_type, call } = await clients[input.library]();
const result = { token, token_type, issuer_exchanges: exchanges, calls: [] };
for (const wanted of input.calls) {
  exchanges = [];
  const error = await call(wanted).then(() => undefined, (fault) => `${fault.name}: ${fault.message}`);
  result.calls.push({ error, exchanges });
}
console.log(JSON.stringify(result));
