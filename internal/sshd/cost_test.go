package sshd_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/sshd"
	"github.com/seed96252745/relay/internal/transport"
)

// relayEnv has the test binary be a relay, whose costs are its own.
const relayEnv = "SSHD_TEST_RELAY"

// runRelay runs a relay with the command's limits until its standard input ends.
func runRelay() {
	dir, err := os.MkdirTemp("", "relay-*")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	keys, err := sshd.HostKeys(dir)
	if err != nil {
		panic(err)
	}
	limits, host := admission.Limits{}, relayHost
	if os.Getenv(relayEnv) == "unlimited" {
		host = loopback
		limits = admission.Limits{TunnelsPerSource: -1, TunnelsPerNetwork: -1, HandshakesPerSource: -1, Handshakes: -1}
	}
	s, err := node.Relay(node.Config{
		Bind: host, Ports: port.Range{First: 20000, Last: 29999}, Limits: limits,
		SSH: sshd.New(sshd.Config{HostKeys: keys, Host: func() string { return loopback }}),
	})
	if err != nil {
		panic(err)
	}
	var served sync.WaitGroup
	for _, serve := range []func(conn.Listener) error{s.ServeFront, s.Serve} {
		l, err := transport.ListenRelayClients(host + ":0")
		if err != nil {
			panic(err)
		}
		fmt.Println(l.Addr())
		served.Go(func() { _ = serve(l) })
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	s.Close()
	served.Wait()
}

// otherRelay is a relay in another process.
type otherRelay struct {
	ssh, control string
	pid          int
}

func startOther(b *testing.B, how string) *otherRelay {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), relayEnv+"="+how)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	o := &otherRelay{pid: cmd.Process.Pid}
	for _, addr := range []*string{&o.ssh, &o.control} {
		lines.Scan()
		*addr = lines.Text()
	}
	return o
}

// resident returns the memory of the relay, without files, in KiB.
func (o *otherRelay) resident(b *testing.B) int {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", o.pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			n, _ := strconv.Atoi(strings.Fields(rest)[0])
			return n
		}
	}
	b.Fatal("no RssAnon")
	return 0
}

// connectAny connects a client that does not look at the relay's key.
func connectAny(addr string, keys ...ssh.Signer) (*ssh.Client, error) {
	return ssh.Dial("tcp", addr, &ssh.ClientConfig{
		User: "me", Auth: []ssh.AuthMethod{ssh.PublicKeys(keys...)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), //nolint:gosec // it is the test's relay
	})
}

// BenchmarkIdleTunnels gives what a tunnel costs the relay that nobody uses, at once and when the
// relay has given back what a crowd of new clients has left.
func BenchmarkIdleTunnels(b *testing.B) {
	const tunnels = 1000
	o := startOther(b, "unlimited")
	warm, err := connectAny(o.ssh, newKey())
	if err != nil {
		b.Fatal(err)
	}
	defer warm.Close()
	before := o.resident(b)
	var clients []*ssh.Client
	for range tunnels {
		c, err := connectAny(o.ssh, newKey())
		if err != nil {
			b.Fatal(err)
		}
		clients = append(clients, c)
		if _, err := c.Listen("tcp", "localhost:0"); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(o.resident(b)-before)/tunnels, "KiB/tunnel-at-once")
	<-time.After(20 * time.Second)
	b.ReportMetric(float64(o.resident(b)-before)/tunnels, "KiB/tunnel")
	b.ReportMetric(0, "ns/op")
	for _, c := range clients {
		_ = c.Close()
	}
}

// BenchmarkHalfOpen gives how long well-behaved relay clients take to register while there are
// 2,000 SSH handshakes from 4 sources that go no further: half of them after the opening, and
// half after the key exchange. Each that the relay ends begins anew a second later. Loopback is
// not counted as a source, so it needs other addresses:
//
//	unshare -n sh -c 'ip link set lo up; for a in 203.0.113.1 198.51.100.1 198.51.100.2 192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4
//	do ip address add $a dev lo; done; go test ./internal/sshd -run "^$" -bench HalfOpen -benchtime 1x'
func BenchmarkHalfOpen(b *testing.B) {
	if l, err := net.Listen("tcp", relayHost+":0"); err != nil {
		b.Skipf("this network has no address %s", relayHost)
	} else {
		_ = l.Close()
	}
	const half, sources = 2000, 4
	o := startOther(b, "limited")
	stop := make(chan struct{})
	var running sync.WaitGroup
	for i := range half {
		from := fmt.Sprintf("192.0.2.%d", 1+i%sources)
		running.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				halfOpen(o.ssh, from, i%2 == 0, stop)
				select {
				case <-time.After(time.Second):
				case <-stop:
				}
			}
		})
	}
	<-time.After(2 * time.Second)
	var worst [2]time.Duration
	registered := 0
	for since := time.Now(); time.Since(since) < 20*time.Second; {
		began := time.Now()
		if err := registerSSH(o.ssh); err != nil {
			b.Error(err)
			break
		}
		worst[0] = max(worst[0], time.Since(began))
		began = time.Now()
		if err := registerLine(o.control); err != nil {
			b.Error(err)
			break
		}
		worst[1] = max(worst[1], time.Since(began))
		registered++
		<-time.After(100 * time.Millisecond) // an address may exchange keys 20 times a second
	}
	close(stop)
	running.Wait()
	b.ReportMetric(float64(registered), "registered")
	b.ReportMetric(float64(worst[0].Milliseconds()), "ms-worst-ssh")
	b.ReportMetric(float64(worst[1].Milliseconds()), "ms-worst-relay")
	b.ReportMetric(0, "ns/op")
}

// halfOpen begins a handshake, and waits until the relay, or stop, ends it.
func halfOpen(addr, from string, exchange bool, stop <-chan struct{}) {
	c, err := connectFrom(from, addr)
	if err != nil {
		return
	}
	defer c.Close()
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-stop:
			_ = c.Close()
		case <-done:
		}
	}()
	if exchange {
		_, _, _, _ = ssh.NewClientConn(c, addr, &ssh.ClientConfig{
			User: "me", HostKeyCallback: func(string, net.Addr, ssh.PublicKey) error {
				_, _ = io.Copy(io.Discard, c) // and go no further
				return io.ErrUnexpectedEOF
			},
		})
		return
	}
	_, _ = io.WriteString(c, "SSH-2.0-half\r\n")
	_, _ = io.Copy(io.Discard, c)
}

// relayHost is where the relay of BenchmarkHalfOpen is.
const relayHost = "203.0.113.1"

// connectFrom connects from an address of this machine.
func connectFrom(from, addr string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second}
	return d.Dial("tcp", addr)
}

var wellBehaved = sync.OnceValue(newKey) // whose port stays the same

// registerSSH has a well-behaved SSH client register, and go.
func registerSSH(addr string) error {
	tcp, err := connectFrom("198.51.100.1", addr)
	if err != nil {
		return err
	}
	defer tcp.Close()
	c, channels, requests, err := ssh.NewClientConn(tcp, addr, &ssh.ClientConfig{
		User: "me", Auth: []ssh.AuthMethod{ssh.PublicKeys(wellBehaved())}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), //nolint:gosec // it is the test's relay
	})
	if err != nil {
		return err
	}
	client := ssh.NewClient(c, channels, requests)
	defer client.Close()
	_, err = client.Listen("tcp", "localhost:0")
	return err
}

// registerLine has one of the relay's own register, and go.
func registerLine(addr string) error {
	c, err := connectFrom("198.51.100.2", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	return askForPort(c)
}

// askForPort registers on a connection.
func askForPort(c net.Conn) error {
	if _, err := io.WriteString(c, "event\nnew\n"); err != nil {
		return err
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
	line, err := bufio.NewReader(c).ReadString('\n')
	if err == nil && !strings.ContainsAny(line[:1], "0123456789") {
		err = fmt.Errorf("the answer is %q", line)
	}
	return err
}
