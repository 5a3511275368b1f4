// oidc-provider made to look like an Okta custom authorization server: Okta's paths, Okta's access tokens.
// Created by server.mjs, and again each time the keys change.

import { createPublicKey, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';

import * as oidc from 'oidc-provider';

const DEFAULT_AUDIENCE = 'api://default';
// Access tokens for this audience, and those below it, are opaque, as those of Okta's org authorization server are to everybody but Okta.
const OPAQUE_AUDIENCE = 'api://opaque';
// For how many seconds tokens are issued; the control channel changes it.
export const lifetime = { seconds: 3600 };

// `service` gets tokens for itself, `application` for its users, the gateways only introspect: each says in its own way
// who it is, the last one by a signature. Every client may send a DPoP proof for its token; proofs of `nonce_service` need
// a nonce of this server. Tokens of `mtls_service` are bound to its certificate, so it gets them at the mTLS port alone.
export const CLIENTS = {
  service: { client_id: '0oa1service0000000d7', client_secret: 'service-secret-k4Vq9' },
  nonce_service: { client_id: '0oa1service0nonce0d7', client_secret: 'service-secret-Hn42c' },
  mtls_service: { client_id: '0oa1service0mtls00d7', client_secret: 'service-secret-Tm83r' },
  application: { client_id: '0oa1application000d7', client_secret: 'application-secret-Zt3x' },
  gateway: { client_id: '0oa1gateway0000000d7', client_secret: 'gateway-secret-Jw81' },
  posting_gateway: { client_id: '0oa1gateway0post00d7', client_secret: 'gateway-secret-Jw82' },
  signing_gateway: { client_id: '0oa1gateway0sign00d7' },
};
const GRANT_TYPES = {
  service: ['client_credentials'],
  nonce_service: ['client_credentials'],
  mtls_service: ['client_credentials'],
  application: ['password'],
};
const BOUND_TO_CERTIFICATE = { mtls_service: { tls_client_certificate_bound_access_tokens: true } };
// The same after the keys have changed.
const NONCE_SECRET = randomBytes(32);
const WAYS_TO_SAY_WHO = {
  posting_gateway: { token_endpoint_auth_method: 'client_secret_post' },
  signing_gateway: {
    token_endpoint_auth_method: 'private_key_jwt',
    jwks: { keys: [publicJwk('rsa', 'rsa-2048-a.pem'), publicJwk('p256', 'ec-p256.pem')] },
  },
};

const USERS = {
  'alice@acme.com': { password: 'alice-password', uid: '00u1alice000000000d7', groups: ['Everyone', 'engineering'] },
  'bob@acme.com': { password: 'bob-password', uid: '00u1bob00000000000d7', groups: ['Everyone', 'finance_manager'] },
};

export function createProvider(issuer, { keyRing, tokenStore, knownJwts }) {
  const provider = new oidc.Provider(issuer, {
    adapter: (model) => tokenStore.adapterFor(model),
    jwks: { keys: keyRing.published.map((key) => key.jwk) },
    clients: Object.entries(CLIENTS).map(([name, credentials]) => ({
      ...credentials,
      grant_types: GRANT_TYPES[name] ?? [],
      redirect_uris: [],
      response_types: [],
      token_endpoint_auth_method: 'client_secret_basic',
      ...WAYS_TO_SAY_WHO[name],
      ...BOUND_TO_CERTIFICATE[name],
    })),
    routes: {
      authorization: '/v1/authorize',
      end_session: '/v1/logout',
      introspection: '/v1/introspect',
      jwks: '/v1/keys',
      revocation: '/v1/revoke',
      token: '/v1/token',
      userinfo: '/v1/userinfo',
    },
    findAccount: (context, login) => USERS[login] && { accountId: login, claims: () => ({ sub: login }) },
    enabledJWA: { dPoPSigningAlgValues: ['ES256', 'RS256', 'PS256', 'EdDSA', 'Ed25519'] },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      dPoP: {
        enabled: true,
        nonceSecret: NONCE_SECRET,
        requireNonce: (context) => context.oidc.client?.clientId === CLIENTS.nonce_service.client_id,
      },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        // Nobody vouches for it, and nobody needs to (RFC 8705 section 2.2).
        getCertificate: (context) => context.req.socket.getPeerX509Certificate?.(),
      },
      introspection: { enabled: true, allowedPolicy: () => true },
      revocation: { enabled: true, allowedPolicy: () => true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => DEFAULT_AUDIENCE,
        getResourceServerInfo: (context, audience) => resourceServer(context, audience, keyRing),
      },
    },
    cookies: { keys: ['cookies are never used by these grants'] },
    ttl: { AccessToken: () => lifetime.seconds, ClientCredentials: () => lifetime.seconds },
    extraTokenClaims: identityClaims,
    formats: {
      customizers: {
        jwt: async (context, token, jwt) => {
          oktaAccessToken(jwt);
          await knownJwts.keep(token, jwt.payload);
        },
      },
    },
  });
  // The issuer's scheme and host are taken from headers that server.mjs sets.
  provider.proxy = true;
  provider.use(knownJwts.middleware());
  provider.registerGrantType('password', (context) => passwordGrant(context, keyRing), ['username', 'password', 'scope', 'resource', 'acr_values']);
  provider.on('server_error', (context, error) => console.error(error));
  return provider;
}

// The public part of a key pair of the tests.
function publicJwk(kid, file) {
  const pem = readFileSync(new URL(`../../data/keys/${file}`, import.meta.url));
  return { ...createPublicKey(pem).export({ format: 'jwk' }), kid, use: 'sig' };
}

const isOpaque = (audience) => audience === OPAQUE_AUDIENCE || audience.startsWith(`${OPAQUE_AUDIENCE}/`);

// Any audience exists and grants whatever scopes are asked for: what a token may do is the filter's question.
function resourceServer(context, audience, keyRing) {
  return {
    audience,
    scope: context.oidc.params.scope ?? '',
    accessTokenFormat: isOpaque(audience) ? 'opaque' : 'jwt',
    jwt: { sign: { alg: 'RS256', kid: keyRing.active.kid } },
  };
}

// Resource owner password, which Okta offers too: a user's token for one POST, with no browser.
async function passwordGrant(context, keyRing) {
  const { client, params, provider } = context.oidc;
  const user = USERS[params.username];
  if (!user || user.password !== params.password) throw new oidc.errors.InvalidGrant('The credentials provided were invalid.');

  const audience = params.resource ?? DEFAULT_AUDIENCE;
  const token = new provider.AccessToken({ accountId: params.username, client, gty: 'password', scope: params.scope });
  token.resourceServer = new provider.ResourceServer(audience, resourceServer(context, audience, keyRing));
  context.body = {
    token_type: 'Bearer',
    expires_in: token.expiration,
    access_token: await token.save(),
    scope: params.scope,
  };
}

// What is said about the subject, in JWTs and in introspection answers alike. `groups` comes with the scope
// of that name, as in an Okta groups claim tied to a scope.
function identityClaims(context, token) {
  if (token.kind === 'ClientCredentials') return { sub: token.clientId };
  const user = USERS[token.accountId];
  return {
    uid: user.uid,
    username: token.accountId,
    auth_time: Math.floor(Date.now() / 1000),
    acr: context.oidc.params.acr_values ?? 'urn:okta:loa:1fa:pwd',
    ...(token.scopes.has('groups') && { groups: user.groups }),
  };
}

// oidc-provider's RFC 9068 token becomes Okta's: `cid` and `scp` for `client_id` and `scope`, no `typ`.
function oktaAccessToken(jwt) {
  const { jti, iss, aud, iat, exp, sub, client_id: cid, scope, cnf, uid, auth_time, acr, groups } = jwt.payload;
  jwt.header = { typ: undefined };
  jwt.payload = {
    ver: 1,
    jti: `AT.${jti}`,
    iss, aud, iat, exp, cid, uid,
    scp: scope ? scope.split(' ') : undefined,
    auth_time, acr, sub, groups, cnf,
  };
}
