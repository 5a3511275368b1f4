// What another resource server thinks of requests with proofs: `validateJwtAccessToken` of oauth4webapi, at a given time.
// Reads { issuer, audience, keys, now, requests: [{ method, url, authorization, dpop }] } and writes a list of
// { accepted, cause }.
import { text } from 'node:stream/consumers'
import * as oauth from 'oauth4webapi'

const { issuer, audience, keys, now, requests } = JSON.parse(await text(process.stdin))
const server = { issuer, jwks_uri: 'https://keys.example/' }

async function judge({ method, url, authorization, dpop }) {
  try {
    const headers = { authorization, ...(dpop === null ? {} : { dpop }) }
    await oauth.validateJwtAccessToken(server, new Request(url, { method, headers }), audience, {
      requireDPoP: true,
      [oauth.clockSkew]: now - Math.floor(Date.now() / 1000),
      [oauth.customFetch]: async () => Response.json(keys),
    })
    return { accepted: true }
  } catch (error) {
    return { accepted: false, cause: `${error.message} ${error.cause?.message ?? ''}` }
  }
}

const verdicts = []
for (const request of requests) {
  verdicts.push(await judge(request))
}
process.stdout.write(JSON.stringify(verdicts))
