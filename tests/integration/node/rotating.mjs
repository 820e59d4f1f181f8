// An OAuth server that is strict where Stripe is not: the library oidc-provider with refresh tokens that
// roll, and that end their whole grant when a spent one is sent again (RFC 9700).
//
// node rotating.mjs MODULES NOW: its modules, and the time (seconds) at which it begins. It tells its
// address, then answers each line of standard input with one: {"connect": "acct_1"} has an account
// connect to the app and tells the first refresh token; {"cut": true} cuts the connection of the next
// exchange when its new tokens are stored, in place of the answer; {"now": seconds} moves its clock.
// Without any of these it tells what it has seen: how many calls of the token endpoint, how many of them
// rolled, how many brought a spent token, and how many grants ended by that.
//
// One thing is Stripe's way and not the library's: the client sends its secret as the name of the user,
// without its id and without a password. That is turned into what the library expects, which judges the
// secret. Whose its tokens are, it does not say, and they do not begin like Stripe's.
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

const [modules, start] = process.argv.slice(2);
let now = Number(start);
Date.now = () => now * 1000;
console.info = console.warn = () => {};
const { default: Provider } = await import(`${modules}/oidc-provider/lib/index.js`);

const CLIENT = { id: 'ca_1RotatingOfATest', secret: 'sk_test_ofTheRotatingServer0123' };
const TOKEN = '/v1/oauth/token';
const SCOPE = 'offline_access';

let isCutting = false;
const seen = { calls: 0, rolled: 0, spent: 0, revoked: 0 };

const server = createServer(exchange);
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const address = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(address, {
  clients: [{
    client_id: CLIENT.id,
    client_secret: CLIENT.secret,
    grant_types: ['authorization_code', 'refresh_token'],
    redirect_uris: ['https://app.acme.example/connected'],
    token_endpoint_auth_method: 'client_secret_basic',
  }],
  routes: { token: TOKEN },
  rotateRefreshToken: true,
  ttl: { AccessToken: 60 * 60, Grant: 365 * 86400, RefreshToken: 365 * 86400 },
  findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  features: { devInteractions: { enabled: false } },
});
provider.on('grant.success', () => { seen.rolled += 1; });
provider.on('grant.error', (_, error) => { seen.spent += error.error_detail === 'refresh token already used'; });
provider.on('grant.revoked', () => { seen.revoked += 1; });

function exchange(request, response) {
  seen.calls += 1;
  const [name, password] = Buffer.from(request.headers.authorization?.replace('Basic ', '') ?? '', 'base64')
    .toString().split(':');
  // Not as Stripe's clients do: the library refuses it.
  const own = password === '' ? `${CLIENT.id}:${name}` : '';
  request.headers.authorization = `Basic ${btoa(own)}`;
  if (isCutting) {
    isCutting = false;
    response.end = () => request.socket.destroy();
  }
  provider.callback()(request, response);
}

async function connect(accountId) {
  const grant = new provider.Grant({ accountId, clientId: CLIENT.id });
  grant.addOIDCScope(SCOPE);
  const client = await provider.Client.find(CLIENT.id);
  const token = { accountId, client, grantId: await grant.save(), gty: 'authorization_code', scope: SCOPE };
  return new provider.RefreshToken(token).save();
}

console.log(address);
for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  now = asked.now ?? now;
  isCutting = asked.cut ?? isCutting;
  console.log(asked.connect ? await connect(asked.connect) : JSON.stringify(seen));
}
process.exit();
