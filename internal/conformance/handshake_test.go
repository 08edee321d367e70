package conformance_test

import (
	"bufio"
	"encoding/hex"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay/relaytest"
)

// The relay client of these tests is this file, with the bytes of docs/protocol.md and no
// code of Relay's.

// ways are the ways in which the lines may arrive.
var ways = map[string]func(t *testing.T, conn *net.TCPConn, lines string){
	"one segment": func(t *testing.T, conn *net.TCPConn, lines string) {
		_, err := io.WriteString(conn, lines)
		must(t, err)
	},
	"a byte a segment": func(t *testing.T, conn *net.TCPConn, lines string) {
		must(t, conn.SetNoDelay(true))
		for i := range lines {
			_, err := io.WriteString(conn, lines[i:i+1])
			must(t, err)
		}
	},
	"CRLF": func(t *testing.T, conn *net.TCPConn, lines string) {
		_, err := io.WriteString(conn, strings.ReplaceAll(lines, "\n", "\r\n"))
		must(t, err)
	},
}

func eachWay(t *testing.T, test func(t *testing.T, c relayClient)) {
	for name, write := range ways {
		t.Run(name, func(t *testing.T) {
			test(t, relayClient{addr: relaytest.Start(t).Addr(), write: write})
		})
	}
}

type relayClient struct {
	addr  string
	write func(t *testing.T, conn *net.TCPConn, lines string)
}

// say opens a connection, writes the lines in the way that is tested, and the payload right
// behind them.
func (c relayClient) say(t *testing.T, lines, payload string) (*net.TCPConn, *bufio.Reader) {
	t.Helper()
	conn := dial(t, c.addr)
	c.write(t, conn, lines)
	_, err := io.WriteString(conn, payload)
	must(t, err)
	return conn, bufio.NewReader(conn)
}

func readLine(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	line, err := r.ReadString('\n')
	must(t, err)
	return strings.TrimSuffix(line, "\n")
}

func readString(t *testing.T, r io.Reader, n int) string {
	t.Helper()
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	must(t, err)
	return string(b)
}

func userOf(t *testing.T, port string) *net.TCPConn {
	t.Helper()
	return dial(t, net.JoinHostPort("127.0.0.1", port))
}

// exchange has both ends, that see a whole connection from here on, say
// something and end.
func exchange(t *testing.T, user, client *net.TCPConn, fromUser, fromClient io.Reader) {
	t.Helper()
	for _, turn := range []struct {
		from *net.TCPConn
		to   io.Reader
		text string
	}{{user, fromUser, "to the server"}, {client, fromClient, "to the user"}} {
		_, err := io.WriteString(turn.from, turn.text)
		must(t, err, turn.from.CloseWrite())
		got, err := io.ReadAll(turn.to)
		must(t, err)
		if string(got) != turn.text {
			t.Fatalf("received %q, want %q", got, turn.text)
		}
	}
}

func TestPoolHandshake(t *testing.T) {
	eachWay(t, func(t *testing.T, c relayClient) {
		// The payload is the greeting of a server that speaks first.
		first, reply := c.say(t, "pool\nnew\n", "hello")
		port, id := readLine(t, reply), readLine(t, reply)
		user := userOf(t, port)
		if got := readString(t, user, 5); got != "hello" {
			t.Fatalf("the user received %q", got)
		}
		exchange(t, user, first, reply, user)

		second, reply := c.say(t, "pool\n"+id+"\n", "again")
		user = userOf(t, port)
		if got := readString(t, user, 5); got != "again" {
			t.Fatalf("the user received %q", got)
		}
		exchange(t, user, second, reply, user)
	})
}

func TestEventHandshake(t *testing.T) {
	eachWay(t, func(t *testing.T, c relayClient) {
		_, ids := c.say(t, "event\nnew\n", "")
		port := readLine(t, ids)
		for range 3 {
			user := userOf(t, port)
			data, fromUser := c.say(t, "event\n"+readLine(t, ids)+"\n", "hello")
			if got := readString(t, user, 5); got != "hello" {
				t.Fatalf("the user received %q", got)
			}
			exchange(t, user, data, fromUser, user)
		}
	})
}

// The frames are those of the example in docs/protocol.md.
func TestMultiplexHandshake(t *testing.T) {
	eachWay(t, func(t *testing.T, c relayClient) {
		// A ping may come right behind the verb.
		const ping = "\x00\x02\x00\x01\x00\x00\x00\x00\x00\x00\x00\x2a"
		conn, frames := c.say(t, "multiplex\n", ping)
		user := userOf(t, readLine(t, frames))
		readFrame(t, frames, "000100010000000100000000") // window update, SYN, stream 1

		_, err := io.WriteString(user, "hi")
		must(t, err)
		readFrame(t, frames, "000000000000000100000002")
		if got := readString(t, frames, 2); got != "hi" {
			t.Fatalf("data: %q", got)
		}
		must(t, user.CloseWrite())
		readFrame(t, frames, "000100040000000100000000") // window update, FIN

		// Data with ACK and FIN.
		_, err = conn.Write(unhex(t, "000000060000000100000003"+hex.EncodeToString([]byte("bye"))))
		must(t, err)
		if got, err := io.ReadAll(user); string(got) != "bye" || err != nil {
			t.Fatalf("the user received %q and %v", got, err)
		}
	})
}

// The lines are those of docs/protocol.md, "Several sessions".
func TestSessionsHandshake(t *testing.T) {
	eachWay(t, func(t *testing.T, c relayClient) {
		_, a := c.say(t, "+sessions 2\nmultiplex\n", "")
		if got := readLine(t, a); got != "+sessions 2" {
			t.Fatalf("the relay grants %q", got)
		}
		id, port := readLine(t, a), readLine(t, a)
		const syn = "000100010000000100000000"
		onA := userOf(t, port)
		readFrame(t, a, syn)
		// An answered ping shows that the other session is there.
		const ping, pong = "\x00\x02\x00\x01\x00\x00\x00\x00\x00\x00\x00\x2a", "\x00\x02\x00\x02\x00\x00\x00\x00\x00\x00\x00\x2a"
		second, b := c.say(t, id+"\nmultiplex\n", ping)
		if got := readString(t, b, len(pong)); got != pong {
			t.Fatalf("the answer to a ping is %q", got)
		}
		onB := userOf(t, port)
		readFrame(t, b, syn)

		// One session more is one too many.
		_, none := c.say(t, id+"\nmultiplex\n", "")
		if got, err := io.ReadAll(none); len(got) > 0 || err != nil {
			t.Errorf("a third session got %q and %v, want the end", got, err)
		}
		// The end of one is that of its users, and of nobody else.
		must(t, second.CloseWrite())
		if n, err := onB.Read(make([]byte, 1)); n != 0 || !isReset(err) {
			t.Errorf("the user of the lost session: %d bytes and %v, want a reset", n, err)
		}
		_, err := io.WriteString(onA, "hi")
		must(t, err)
		readFrame(t, a, "000000000000000100000002")
		if got := readString(t, a, 2); got != "hi" {
			t.Fatalf("data: %q", got)
		}
	})
}

// readFrame reads a yamux header and compares it, passing over what concerns
// the session and not a stream.
func readFrame(t *testing.T, r io.Reader, want string) {
	t.Helper()
	for {
		header := hex.EncodeToString([]byte(readString(t, r, 12)))
		if strings.HasPrefix(header, "0002") {
			continue // a ping, or the answer to ours
		}
		if header != want {
			t.Fatalf("frame %s, want %s", header, want)
		}
		return
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	must(t, err)
	return b
}

// The relay closes a connection that makes no request, without a byte.
func TestNotARequest(t *testing.T) {
	addr := relaytest.Start(t).Addr()
	for name, lines := range map[string]string{
		"unknown verb":    "frobnicate\n",
		"upper case":      "POOL\nnew\n",
		"empty line":      "\n",
		"space":           "event \nnew\n",
		"long verb":       strings.Repeat("m", 65),
		"long id":         "pool\n" + strings.Repeat("x", 129),
		"binary":          "\x00\x01\x02\x03",
		"TLS":             "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"HTTP":            "GET / HTTP/1.1\r\nHost: relay\r\n\r\n",
		"unknown pool":    "pool\nAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
		"unknown user":    "event\nAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
		"unknown session": "+session AAAAAAAAAAAAAAAAAAAAAAAAAA\nmultiplex\n",
		"claim + options": "+token x\nevent\nAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
		"lone CR":         "event\rnew\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it waits, if the relay waits for more
			conn := dial(t, addr)
			_, err := io.WriteString(conn, lines)
			must(t, err)
			if got, err := io.ReadAll(conn); len(got) > 0 || err != nil && !isReset(err) {
				t.Errorf("answered %q and %v, want the end", got, err)
			}
		})
	}
	t.Run("half a line", func(t *testing.T) {
		conn := dial(t, addr)
		_, err := io.WriteString(conn, "multip")
		must(t, err, conn.CloseWrite())
		must(t, receiveAll(conn, newStream(1), 0))
	})
	t.Run("silence", func(t *testing.T) {
		t.Parallel()
		conn, since := dial(t, addr), time.Now()
		must(t, receiveAll(conn, newStream(1), 0))
		if took := time.Since(since); took > 10*time.Second {
			t.Errorf("closed after %s, want 5 s", took)
		}
	})
}

// The refusal of an unknown option names it.
func TestUnknownOption(t *testing.T) {
	addr := relaytest.Start(t).Addr()
	for _, verb := range []string{"multiplex\n", "pool\nnew\n", "event\nnew\n"} {
		conn := dial(t, addr)
		_, err := io.WriteString(conn, "+frobnicate yes please\n"+verb)
		must(t, err)
		got, err := io.ReadAll(conn)
		if want := "-unknown-option frobnicate\n"; string(got) != want || err != nil {
			t.Errorf("%q: answered %q and %v, want %q", verb, got, err, want)
		}
	}
	conn := dial(t, addr)
	_, err := io.WriteString(conn, "+"+strings.Repeat("n", 4000)+"\nevent\nnew\n")
	must(t, err)
	got, err := io.ReadAll(conn)
	if want := "-unknown-option " + strings.Repeat("n", 64) + "\n"; string(got) != want || err != nil {
		t.Errorf("a long one: answered %q and %v, want its first 64 bytes", got, err)
	}
}
