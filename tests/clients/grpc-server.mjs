// A gRPC server on a free port of 127.0.0.1; the first line of its output is {"port": …}.
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { GET } from './grpc-service.mjs';

const server = new Server();
server.addService(
  { Get: GET },
  {
    Get(call, answer) {
      const metadata = call.metadata.getMap();
      answer(null, Buffer.from(JSON.stringify({ metadata, message: call.request.toString() })));
    },
  },
);
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (fault, port) => {
  if (fault) throw fault;
  console.log(JSON.stringify({ port }));
});
