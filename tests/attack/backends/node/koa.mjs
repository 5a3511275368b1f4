import Koa from 'koa';
import Router from '@koa/router';
import { report, ROUTES, filled } from './contract.mjs';

export async function serve(port) {
  const app = new Koa();
  const router = new Router();
  const done = (context, operation, path) => {
    context.body = report({
      operation, path, method: context.method, host: context.host, headers: context.headers, params: context.query,
      cookies: { access_token: context.cookies.get('access_token') },
    });
  };
  for (const [methods, pattern, operation, canonical] of ROUTES) {
    router.register(pattern.replace('*', '{*rest}'), methods, (context) =>
      done(context, operation, filled(canonical, { ...context.params, '*': context.params.rest })));
  }
  app.on('error', () => {});
  app.use(router.routes());
  app.use((context) => {
    done(context, 'none', null);
    context.status = 404;
  });
  app.listen(port, '127.0.0.1');
}
