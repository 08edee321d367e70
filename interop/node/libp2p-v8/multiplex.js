#!/usr/bin/env node
// A relay client for the protocol "multiplex", with js-libp2p's yamux, version 8.
//
// Usage: multiplex.js <relay_host> <relay_port> <local_host> <local_port>

import { once } from 'node:events'
import net from 'node:net'
import { yamux } from '@libp2p/yamux'

// Node 20 lacks it. Without it the library's pings fail, silently, and no window grows.
Promise.withResolvers ??= () => {
  let resolve, reject
  const promise = new Promise((...both) => { [resolve, reject] = both })
  return { promise, resolve, reject }
}

const [relayHost, relayPort, localHost, localPort] = process.argv.slice(2)
const servers = new Set() // the local connection of each user

function die (reason) {
  console.error(String(reason))
  // Without this the local server would take our exit for the users' end.
  for (const server of servers) server.resetAndDestroy()
  process.exit(1)
}

// Events, because "for await" grants credit for unread data, and never ends if the
// user's FIN came before the loop.
function serve (stream) {
  stream.sendWindowUpdate() // acknowledges the stream; after a pause() it never would
  const server = net.connect({ host: localHost, port: localPort, allowHalfOpen: true, noDelay: true })
  servers.add(server)
  server.on('close', () => servers.delete(server))

  stream.addEventListener('message', ({ data }) => {
    // Not at once: a pause() within resume() does not stop the credit.
    if (!server.write(data.subarray())) queueMicrotask(pause)
  })
  const pause = () => {
    if (stream.readStatus === 'readable' && server.writableNeedDrain) stream.pause()
  }
  server.on('drain', () => {
    if (stream.readStatus === 'paused') stream.resume()
  })
  // "end" comes after the last byte, but also after a reset or the end of the
  // session; this one comes only for the user's FIN, and perhaps early.
  let fin = false
  stream.addEventListener('remoteCloseWrite', () => { fin = true })
  stream.addEventListener('end', () => {
    if (fin) server.end()
  })

  server.on('data', chunk => {
    if (!stream.send(chunk)) server.pause()
  })
  // Not onDrain(): once fulfilled it stays so. In the microtask before this one the
  // library sends what it still has, and may have to wait again.
  stream.addEventListener('drain', () => queueMicrotask(() => {
    if (!stream.writableNeedsDrain) server.resume()
  }))
  server.on('end', () => stream.close().catch(() => {})) // fails if "close" has come

  server.on('error', err => stream.abort(err)) // resets the user
  stream.addEventListener('close', ({ error }) => {
    if (error) console.error(String(error))
    if (error || !fin) server.resetAndDestroy()
  })
}

async function readLine () {
  for (let line = ''; ;) {
    const byte = relay.read(1) // what follows the line belongs to yamux
    if (byte === null) await once(relay, 'readable')
    else if (byte[0] === 10) return line
    else line += byte
  }
}

const relay = net.connect({ host: relayHost, port: relayPort, noDelay: true })
relay.on('error', die)
relay.on('end', () => die('the relay is gone'))
relay.write('multiplex\n')
const port = await readLine()
if (!/^\d+$/.test(port)) die(`refused: ${port}`)

const log = Object.assign(() => {}, { trace () {}, error () {}, newScope: () => log })
const connection = Object.assign(new EventTarget(), {
  direction: 'inbound',
  log,
  send: data => relay.write(data.subarray()),
  abort: die // the library has found an invalid frame
})
const muxer = yamux({
  maxInboundStreams: Infinity, // the relay limits the users
  // A window may grow to 16 MiB, but a paused user is reset with more than 4 unread.
  streamOptions: { maxStreamWindowSize: 4 << 20 }
})().createStreamMuxer(connection)
muxer.addEventListener('stream', ({ detail }) => serve(detail))
relay.on('drain', () => connection.dispatchEvent(new Event('drain')))
relay.on('data', data => connection.dispatchEvent(Object.assign(new Event('message'), { data })))
relay.resume()
console.log(port)
