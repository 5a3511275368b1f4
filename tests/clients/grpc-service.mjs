// The service `/acme.Accounts/Get` without protobuf: messages are bytes, and what is answered is the metadata that came
// with the call, as JSON. Shared by the server and the client of the end-to-end tests.
export const GET = {
  path: '/acme.Accounts/Get',
  requestStream: false,
  responseStream: false,
  requestSerialize: (bytes) => bytes,
  requestDeserialize: (bytes) => bytes,
  responseSerialize: (bytes) => bytes,
  responseDeserialize: (bytes) => bytes,
};
