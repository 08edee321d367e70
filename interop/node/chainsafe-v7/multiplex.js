#!/usr/bin/env node
// A relay client for the protocol "multiplex", with js-libp2p's yamux.
//
// Usage: multiplex.js <relay_host> <relay_port> <local_host> <local_port>

import { once } from 'node:events'
import net from 'node:net'
import { yamux } from '@chainsafe/libp2p-yamux'

const [relayHost, relayPort, localHost, localPort] = process.argv.slice(2)
const servers = new Map() // the local connection of each stream

function die (reason) {
  console.error(String(reason))
  // Without this the local server would take our exit for the users' end.
  for (const server of servers.values()) server.resetAndDestroy()
  process.exit(1)
}

async function write (socket, chunk) {
  if (!socket.write(chunk.subarray())) await once(socket, 'drain')
}

async function fromUser (stream, server) {
  for await (const chunk of stream.source) await write(server, chunk)
  server.end()
}

async function serve (stream) {
  stream.sendWindowUpdate() // acknowledges the stream; the library waits for the first data
  const server = net.connect({ host: localHost, port: localPort, allowHalfOpen: true, noDelay: true })
  servers.set(stream, server)
  server.on('close', () => servers.delete(stream))
  try {
    await once(server, 'connect')
    await Promise.all([
      fromUser(stream, server),
      // By default the end of a for-await destroys the socket in both directions.
      stream.sink(server.iterator({ destroyOnReturn: false }))
    ])
  } catch (err) {
    console.error(String(err))
    stream.abort(err)
    server.resetAndDestroy()
  }
}

const relay = net.connect({ host: relayHost, port: relayPort, noDelay: true })
const chunks = relay[Symbol.asyncIterator]()
let head = Buffer.alloc(0)

async function * fromRelay () {
  try {
    yield head // what follows the port belongs to yamux
    yield * { [Symbol.asyncIterator]: () => chunks }
  } catch (err) {
    die(err)
  }
  die('the relay is gone')
}

try {
  relay.write('multiplex\n')
  while (!head.includes('\n')) {
    const { value, done } = await chunks.next()
    if (done) die('the relay closed the connection')
    head = Buffer.concat([head, value])
  }
} catch (err) {
  die(err)
}
const port = head.subarray(0, head.indexOf('\n')).toString()
if (!/^\d+$/.test(port)) die(`refused: ${port}`)
head = head.subarray(port.length + 1)

const log = Object.assign(() => {}, { trace () {}, error () {} })
const muxer = yamux({ maxInboundStreams: Infinity })({ logger: { forComponent: () => log } })
  .createStreamMuxer({
    direction: 'inbound',
    onIncomingStream: serve,
    onStreamEnd (stream) {
      if (stream.status === 'reset') servers.get(stream)?.resetAndDestroy()
    }
  })
muxer.sink(fromRelay())
console.log(port)
for await (const chunk of muxer.source) await write(relay, chunk)
die('the session has ended')
