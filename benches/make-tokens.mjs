// Makes benches/tokens.json: one key set and a token per algorithm, all of one payload. The private keys are
// thrown away. Needed only to change what is measured: node benches/make-tokens.mjs > benches/tokens.json
import { generateKeyPairSync, sign, constants } from 'node:crypto';

const NOW = 1_800_000_000; // the time that benches/core.rs passes in
const PAYLOAD = {
  ver: 1, jti: 'AT.k8vHqQ0pYt3mW7Zb1nXfRcJd9sLgVe2uKaHoTiPx5M4', iss: 'https://acme.okta.com/oauth2/default',
  aud: 'api://default', iat: NOW, exp: NOW + 3600, cid: '0oa1clientZ9q8w7e6r5d7', uid: '00u1aliceT5y4u3i2o1d7',
  scp: ['read:accounts', 'write:accounts'], sub: 'alice@acme.com',
};
const SIGNERS = {
  RS256: ['rsa', { modulusLength: 2048 }, 'sha256', {}],
  RS256_4096: ['rsa', { modulusLength: 4096 }, 'sha256', {}],
  PS256: ['rsa', { modulusLength: 2048 }, 'sha256', { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }],
  ES256: ['ec', { namedCurve: 'P-256' }, 'sha256', { dsaEncoding: 'ieee-p1363' }],
  ES384: ['ec', { namedCurve: 'P-384' }, 'sha384', { dsaEncoding: 'ieee-p1363' }],
  EdDSA: ['ed25519', {}, null, {}],
};

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const keys = [];
const tokens = {};
for (const [name, [type, options, hash, how]] of Object.entries(SIGNERS)) {
  const { publicKey, privateKey } = generateKeyPairSync(type, options);
  const [alg] = name.split('_');
  const kid = `${name}-${'x'.repeat(43 - name.length - 1)}`; // as long as Okta's
  keys.push({ kid, alg, use: 'sig', ...publicKey.export({ format: 'jwk' }) });
  const input = `${encode({ kid, alg })}.${encode(PAYLOAD)}`;
  tokens[name] = `${input}.${sign(hash, Buffer.from(input), { key: privateKey, ...how }).toString('base64url')}`;
}
process.stdout.write(`${JSON.stringify({ payload: JSON.stringify(PAYLOAD), key_set: { keys }, tokens }, null, 1)}\n`);
