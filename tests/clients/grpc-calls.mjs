// Calls `/acme.Accounts/Get`. Standard input: a JSON list of {"port", "token"?, "metadata"?: {name: value}, "message"}. Standard output: a JSON
// list of {"code", "details", "metadata", "answer"?}, code 0 being OK; for a refusal the metadata is that of the status.
import { credentials, makeGenericClientConstructor, Metadata } from '@grpc/grpc-js';
import { text } from 'node:stream/consumers';
import { GET } from './grpc-service.mjs';

const Client = makeGenericClientConstructor({ Get: GET }, 'acme.Accounts');

function call({ port, token, metadata: fields = {}, message }) {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), { 'grpc.enable_retries': 0 });
  const metadata = new Metadata();
  if (token) metadata.set('authorization', `Bearer ${token}`);
  for (const [name, value] of Object.entries(fields)) metadata.set(name, value);
  return new Promise((resolve) => {
    client.Get(Buffer.from(message), metadata, { deadline: Date.now() + 20_000 }, (fault, bytes) => {
      client.close();
      resolve(
        fault
          ? { code: fault.code, details: fault.details, metadata: fault.metadata.getMap() }
          : { code: 0, details: '', metadata: {}, answer: JSON.parse(bytes.toString()) },
      );
    });
  });
}

const calls = JSON.parse(await text(process.stdin));
const results = [];
for (const wanted of calls) results.push(await call(wanted));
console.log(JSON.stringify(results));
