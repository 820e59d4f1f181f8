// An OpenID issuer as others run one: the library oidc-provider, with keys that the test rotates.
//
// node issuer.mjs MODULES NOW: its modules, and the time (seconds) at which it begins. It tells its
// address, then answers each line of standard input with one: {"keys": ["RS256", "ES256", ...]} gives it
// these keys and no others, of which those that it had before stay the same; {"token": "RS256"} asks for
// a token by the key of that algorithm, as a client does; {"now": seconds} moves its clock.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

const [modules, start] = process.argv.slice(2);
let now = Number(start);
Date.now = () => now * 1000;
console.info = console.warn = () => {};
const { default: Provider } = await import(`${modules}/oidc-provider/lib/index.js`);

const AUDIENCE = 'claviger.acme.example';
const ALGORITHMS = {
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: () => generateKeyPairSync('ed25519'),
};

let known = {};
let provider;
const server = createServer((request, response) => provider.callback()(request, response));
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;

// `RS256` and `RS256-2` are two keys of one algorithm.
const algorithmOf = (name) => name.split('-')[0];

function withKeys(names) {
  const key = (name) => known[name] ?? {
    ...ALGORITHMS[algorithmOf(name)]().privateKey.export({ format: 'jwk' }),
    kid: name,
    alg: algorithmOf(name),
    use: 'sig',
  };
  known = Object.fromEntries(names.map((name) => [name, key(name)]));
  const clients = names.map((name) => ({
    client_id: name,
    client_secret: 'of-a-test',
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
    token_endpoint_auth_method: 'client_secret_basic',
    id_token_signed_response_alg: algorithmOf(name),
  }));
  provider = new Provider(issuer, {
    clients,
    jwks: { keys: Object.values(known) },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => `urn:${AUDIENCE}`,
        getResourceServerInfo: (_, __, client) => ({
          scope: '',
          audience: AUDIENCE,
          accessTokenFormat: 'jwt',
          accessTokenTTL: 300,
          jwt: { sign: { alg: algorithmOf(client.clientId), kid: client.clientId } },
        }),
      },
    },
  });
}

async function token(name) {
  const answer = await fetch(`${issuer}/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa(`${name}:of-a-test`)}` },
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  });
  const told = await answer.json();
  return told.access_token ?? JSON.stringify(told);
}

console.log(issuer);
for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  now = asked.now ?? now;
  if (asked.keys) withKeys(asked.keys);
  console.log(asked.token ? await token(asked.token) : 'done');
}
process.exit();
