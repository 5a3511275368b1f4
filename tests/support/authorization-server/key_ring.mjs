// The signing keys: which are published, which one signs, and one that is never published.
// Owned by server.mjs; the provider publishes it, the control channel rotates it and signs with it.

import * as crypto from 'node:crypto';
import { promisify } from 'node:util';

const PUBLISHED_KEYS = 3;
const generateKeyPair = promisify(crypto.generateKeyPair);

async function generateSigningKey() {
  const { privateKey } = await generateKeyPair('rsa', { modulusLength: 2048 });
  const kid = crypto.randomBytes(32).toString('base64url');
  return { kid, privateKey, jwk: { ...privateKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'RS256' } };
}

export class KeyRing {
  #listeners = [];

  constructor(published, unpublished) {
    this.published = published; // oldest first
    this.active = published.at(-1);
    this.previous = published.at(-2);
    this.unpublished = unpublished;
  }

  static async generate() {
    const keys = await Promise.all(Array.from({ length: PUBLISHED_KEYS + 1 }, generateSigningKey));
    return new KeyRing(keys.slice(0, PUBLISHED_KEYS), keys[PUBLISHED_KEYS]);
  }

  onChange(listener) {
    this.#listeners.push(listener);
  }

  // A new key is published and signs from now on; the oldest one is no longer published.
  async rotate() {
    const next = await generateSigningKey();
    this.previous = this.active;
    this.active = next;
    this.published = [...this.published, next].slice(-PUBLISHED_KEYS);
    this.#listeners.forEach((listener) => listener());
  }

  // The key stops being published. One that still signs is followed by the newest that remains.
  retire(kid) {
    const remaining = this.published.filter((key) => key.kid !== kid);
    if (remaining.length === this.published.length) throw new Error(`no published key has kid ${kid}`);
    if (remaining.length === 0) throw new Error('the last published key cannot be retired');
    this.published = remaining;
    if (this.active.kid === kid) {
      this.previous = this.active;
      this.active = remaining.at(-1);
    }
    this.#listeners.forEach((listener) => listener());
  }

  kids() {
    return {
      active: this.active.kid,
      previous: this.previous.kid,
      unpublished: this.unpublished.kid,
      published: this.published.map((key) => key.kid),
    };
  }

  // A compact JWS, RS256 whatever the header claims. Strings are signed as they are, so that a test can
  // send JSON that no serializer would write; objects are serialized, and the header gets `alg` and `kid`.
  sign({ header = {}, payload, key = 'active' }) {
    const signingKey = { active: this.active, previous: this.previous, unpublished: this.unpublished }[key];
    if (!signingKey) throw new Error(`key must be active, previous or unpublished, not ${key}`);
    const headerText = typeof header === 'string'
      ? header
      : JSON.stringify({ alg: 'RS256', kid: signingKey.kid, ...header });
    const payloadText = typeof payload === 'string' ? payload : JSON.stringify(payload);
    const signingInput = `${Buffer.from(headerText).toString('base64url')}.${Buffer.from(payloadText).toString('base64url')}`;
    const signature = crypto.sign('sha256', Buffer.from(signingInput), signingKey.privateKey);
    return `${signingInput}.${signature.toString('base64url')}`;
  }

  // The payload of a compact JWS that a published key signed.
  verified(token) {
    const [header, payload, signature, ...rest] = token.split('.');
    if (!signature || rest.length > 0) return undefined;
    const isSignedBy = ({ privateKey }) => crypto.verify(
      'sha256', Buffer.from(`${header}.${payload}`), crypto.createPublicKey(privateKey), Buffer.from(signature, 'base64url'),
    );
    return this.published.some(isSignedBy) ? JSON.parse(Buffer.from(payload, 'base64url')) : undefined;
  }
}
