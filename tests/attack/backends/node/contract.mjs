// What every backend in Node reports: one line of JSON for each operation that it executed, in the file EXECUTIONS.
import { openSync, writeSync } from 'node:fs';

const log = openSync(process.env.EXECUTIONS, 'a');

// Every text in what a framework gives for one name: nothing, one value, a list or an object.
export function asList(value) {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value.flatMap(asList);
  if (typeof value === 'object') return Object.values(value).flatMap(asList);
  return [String(value)];
}

// `operation` is the handler's name, `path` the canonical path of what it did; the rest is what the framework gives.
export function report({ operation, path, method, host, headers, params, cookies }) {
  const execution = {
    attempt: asList(headers['x-attempt'])[0] ?? '',
    operation,
    path: path ?? null,
    method: method === 'HEAD' ? 'GET' : method,
    host: host ?? '',
    virtual_host: asList(headers['x-virtual-host']),
    user: asList(headers['x-user-id']),
    groups: asList(headers['x-groups']),
    authorization: asList(headers.authorization),
    param: asList(params?.access_token),
    cookie: asList(cookies?.access_token),
  };
  writeSync(log, JSON.stringify(execution) + '\n');
  return execution;
}

// The routes of every backend: [methods, pattern with :name and *, operation, canonical path with {name}].
export const ROUTES = [
  [['GET'], '/public', 'public', '/public/'],
  [['GET'], '/public/*', 'public', '/public/{*}'],
  [['GET'], '/assets/*', 'assets', '/assets/{*}'],
  [['GET', 'POST'], '/admin', 'admin', '/admin'],
  [['GET'], '/admin/users', 'users', '/admin/users'],
  [['GET'], '/internal', 'internal', '/internal'],
  [['GET', 'POST'], '/optional', 'optional', '/optional'],
  [['GET'], '/accounts/:number', 'read_account', '/accounts/{number}'],
  [['POST'], '/accounts/:number', 'change_account', '/accounts/{number}'],
  [['DELETE'], '/accounts/:number', 'delete_account', '/accounts/{number}'],
  [['GET'], '/orgs/:organization/data', 'organization', '/orgs/{organization}/data'],
];

// The canonical path with what the framework gave for its parts.
export const filled = (canonical, parts) => canonical.replace(/\{(.+?)\}/g, (_, name) => asList(parts[name]).join('/'));
