// Puts a local server online with ssh -R, on ssh2.
//
//     node forwarder.js <relay> <port> <local_host> <local_port>
//
// README.md says what the environment sets. The relay's host key is not verified.
import fs from 'node:fs';
import net from 'node:net';
import ssh2 from 'ssh2';

const [relay, port, localHost, localPort] = process.argv.slice(2);
const client = new ssh2.Client();

client.on('keyboard-interactive', (name, instructions, lang, prompts, finish) => finish([]));

client.on('ready', () => {
  client.forwardIn(process.env.BIND ?? 'localhost', Number(process.env.ASKED_PORT ?? 0), (err, bound) => {
    if (err) throw err;
    console.log('port', bound);
  });
});

client.on('tcp connection', (details, accept, reject) => {
  const server = net.connect({ host: localHost, port: Number(localPort), allowHalfOpen: true });
  server.once('error', () => reject()); // until it is connected
  server.once('connect', () => {
    server.removeAllListeners('error');
    const user = accept();
    user.allowHalfOpen = true;
    // An error of one closes the other, which is all that SSH has for it.
    user.on('error', () => server.destroy());
    server.on('error', () => user.close());
    user.pipe(server);
    server.pipe(user);
  });
});

client.on('error', (err) => console.error(err.message));
client.on('close', () => process.exit(1));

client.connect({
  host: relay,
  port: Number(port),
  username: process.env.SSH_USER ?? 'me',
  tryKeyboard: true,
  keepaliveInterval: 15000,
  ...(process.env.SSH_KEY && { privateKey: fs.readFileSync(process.env.SSH_KEY) }),
});
