// The control channel: how a test bends the authorization server. Plain HTTP, JSON in and out, its own port,
// never reachable through the provider's ports.
//
//   POST /sign    {header, payload, key?}  -> {token}     key: "active" (default) | "previous" | "unpublished"
//   POST /know    {payload}                -> {}          a JWT that says this is as if it had been issued
//   POST /rotate                           -> kids        a new key signs; the oldest is dropped
//   POST /retire  {kid}                    -> kids        the key is no longer published
//   POST /lifetime {seconds}               -> {}          of the tokens issued from now on
//   GET  /kids                             -> {active, previous, unpublished, published}
//   GET  /counts                           -> {path: requests on the HTTPS port}
//   GET  /health                           -> {}

export function controlListener({ keyRing, knownJwts, lifetime, requestCounts }) {
  const operations = {
    'POST /sign': async (body) => ({ token: keyRing.sign(body) }),
    'POST /know': async ({ payload }) => {
      await knownJwts.keepSigned(payload);
      return {};
    },
    'POST /rotate': async () => {
      await keyRing.rotate();
      return keyRing.kids();
    },
    'POST /retire': async ({ kid }) => {
      keyRing.retire(kid);
      return keyRing.kids();
    },
    'POST /lifetime': async ({ seconds }) => {
      lifetime.seconds = seconds;
      return {};
    },
    'GET /kids': async () => keyRing.kids(),
    'GET /counts': async () => Object.fromEntries(requestCounts),
    'GET /health': async () => ({}),
  };

  return async (request, response) => {
    const answer = (status, body) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(body));
    };
    const operation = operations[`${request.method} ${request.url}`];
    if (!operation) return answer(404, { error: `no such operation: ${request.method} ${request.url}` });
    try {
      let text = '';
      for await (const piece of request) text += piece;
      return answer(200, await operation(text ? JSON.parse(text) : {}));
    } catch (error) {
      return answer(400, { error: error.message });
    }
  };
}
