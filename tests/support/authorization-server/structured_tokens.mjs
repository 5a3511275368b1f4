// What oidc-provider does not offer and Okta does: introspection (RFC 7662) and revocation (RFC 7009) of access tokens
// that are JWTs. Asked by server.mjs before the provider; what is no JWT is the provider's business.

import * as crypto from 'node:crypto';

import { CLIENTS } from './okta_provider.mjs';

const INACTIVE = { active: false };

export class StructuredTokens {
  #keyRing;
  #revoked = new Set();

  constructor(keyRing) {
    this.#keyRing = keyRing;
  }

  // The answer to a form posted to this endpoint, or undefined when the provider is to give it.
  answer(endpoint, authorization, form) {
    const token = new URLSearchParams(form).get('token') ?? '';
    if (token.split('.').length !== 3) return undefined;
    if (!isClient(authorization)) return { status: 401, body: { error: 'invalid_client' } };
    if (endpoint === '/v1/introspect') return { status: 200, body: this.#introspect(token) };
    this.#revoked.add(token);
    return { status: 200, body: {} };
  }

  #introspect(token) {
    const claims = this.#verified(token);
    const now = Math.floor(Date.now() / 1000);
    if (!claims || this.#revoked.has(token) || claims.exp <= now) return INACTIVE;
    const { aud, cid: client_id, exp, iat, iss, jti, scp, sub, uid } = claims;
    return { active: true, token_type: 'Bearer', aud, client_id, exp, iat, iss, jti, scope: scp?.join(' '), sub, uid, username: sub };
  }

  #verified(token) {
    const [header, payload, signature] = token.split('.');
    const decoded = (part) => JSON.parse(Buffer.from(part, 'base64url'));
    try {
      const { privateKey } = this.#keyRing.published.find(({ kid }) => kid === decoded(header).kid);
      const holds = crypto.verify('sha256', Buffer.from(`${header}.${payload}`), crypto.createPublicKey(privateKey), Buffer.from(signature, 'base64url'));
      return holds ? decoded(payload) : undefined;
    } catch {
      return undefined; // three parts that are no JWT of ours
    }
  }
}

function isClient(authorization = '') {
  const credentials = Buffer.from(authorization.replace(/^Basic /i, ''), 'base64').toString();
  return Object.values(CLIENTS).some(({ client_id, client_secret }) => credentials === `${client_id}:${client_secret}`);
}
