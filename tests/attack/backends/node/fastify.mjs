import { report, ROUTES, filled } from './contract.mjs';

// Fastify 3 to 5; SEMICOLON switches on what version 5 leaves to an option.
export async function serve(port, version) {
  const { default: fastify } = await import(version);
  const options = { useSemicolonDelimiter: process.env.SEMICOLON === '1', exposeHeadRoutes: true };
  const app = fastify(version === 'fastify5' ? options : { exposeHeadRoutes: true });
  app.addContentTypeParser('*', (request, payload, done) => { payload.resume(); payload.on('end', () => done(null)); });
  const done = (request, operation, path) =>
    report({
      operation, path, method: request.method, host: request.hostname, headers: request.headers, params: request.query,
      cookies: {},
    });
  for (const [method, url, operation, canonical] of ROUTES) {
    app.route({ method, url, handler: async (request) => done(request, operation, filled(canonical, request.params)) });
  }
  app.setNotFoundHandler(async (request, reply) => {
    reply.code(404);
    return done(request, 'none', null);
  });
  await app.listen(version === 'fastify3' ? port : { port, host: '127.0.0.1' });
}
