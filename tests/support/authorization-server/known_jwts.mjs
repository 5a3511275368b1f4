// What oidc-provider refuses to do and Okta does: its JWTs can be asked about and revoked like its opaque tokens.
//
// What a JWT stands for is kept in the token store under its `jti`. A JWT that is sent to one of the two endpoints, and
// that a published key signed, is exchanged there for its `jti`: the rest (who may ask, what is answered, what is
// revoked) is oidc-provider's own code. Created by okta_provider.mjs.

const ENDPOINTS = ['/v1/introspect', '/v1/revoke'];

export class KnownJwts {
  constructor(tokenStore, keyRing) {
    this.tokenStore = tokenStore;
    this.keyRing = keyRing;
  }

  // `token` is what was issued, `payload` what its JWT says: under this `jti` and for this long it can be found.
  async keep(token, { jti, iat, exp }) {
    const { kind, clientId, accountId, gty, aud, scope, extra, jkt, 'x5t#S256': x5t } = token;
    const members = { kind, jti, iat, exp, clientId, accountId, gty, aud, scope, extra, jkt, 'x5t#S256': x5t };
    await this.tokenStore.adapterFor(kind).upsert(jti, members);
  }

  // One that was signed by hand.
  async keepSigned({ jti, iat, exp, cid, aud, scp, sub, uid, cnf }) {
    const token = { kind: 'ClientCredentials', clientId: cid, aud, scope: scp?.join(' '), extra: { sub, uid }, ...cnf };
    await this.keep(token, { jti, iat, exp });
  }

  // Runs before the provider's own handlers, which take a body that was read already from `request.body`.
  middleware() {
    return async (context, next) => {
      if (context.method !== 'POST' || !ENDPOINTS.includes(context.path)) return next();
      const pieces = [];
      for await (const piece of context.req) pieces.push(piece);
      const form = new URLSearchParams(Buffer.concat(pieces).toString());
      const said = this.keyRing.verified(form.get('token') ?? '');
      if (said?.jti) form.set('token', said.jti);
      context.request.body = form.toString();
      await next();
      // The provider leaves out what it was asked by.
      if (context.body?.active && said) context.body.jti = said.jti;
    };
  }
}
