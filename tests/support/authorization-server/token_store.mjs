// Where the provider keeps opaque tokens and the like. One store outlives the providers that a key rotation
// replaces, so that a token issued before the rotation can still be introspected after it.

export class TokenStore {
  #entries = new Map();

  // oidc-provider asks for one adapter per model.
  adapterFor(model) {
    const entries = this.#entries;
    const keyOf = (id) => `${model}:${id}`;
    const firstWith = (member, value) => {
      for (const [key, payload] of entries) {
        if (key.startsWith(`${model}:`) && payload[member] === value) return payload;
      }
      return undefined;
    };
    return {
      upsert: async (id, payload) => { entries.set(keyOf(id), payload); },
      find: async (id) => entries.get(keyOf(id)),
      findByUid: async (uid) => firstWith('uid', uid),
      findByUserCode: async (userCode) => firstWith('userCode', userCode),
      consume: async (id) => { entries.get(keyOf(id)).consumed = Math.floor(Date.now() / 1000); },
      destroy: async (id) => { entries.delete(keyOf(id)); },
      revokeByGrantId: async (grantId) => {
        for (const [key, payload] of entries) if (payload.grantId === grantId) entries.delete(key);
      },
    };
  }
}
