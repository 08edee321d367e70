package relay_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/relaytest"
)

// servicesOf is set in a process that is to run many forwarders on one engine: how many, the
// relay, the local server, the protocol, whether they encrypt, and how many sessions or pool
// connections each has.
const servicesOf = "RELAY_TEST_SERVICES"

// runServices runs the forwarders, prints what the process holds when all have registered, and
// again for each line of its input.
func runServices() {
	var n, conns int
	var protocol, relayAddr, local string
	var encrypt bool
	engine, err := relay.NewEngine()
	if err == nil {
		_, err = fmt.Sscan(os.Getenv(servicesOf), &n, &relayAddr, &local, &protocol, &encrypt, &conns)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	var secure *tls.Config
	if encrypt {
		secure = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // memory is all that matters here
	}
	ctx, cancel := context.WithCancel(context.Background())
	var registered, ended sync.WaitGroup
	registered.Add(n)
	for range n {
		var first sync.Once
		ended.Go(func() {
			if err := relay.Forward(ctx, relayAddr, local, &relay.Options{
				Protocol: relay.Protocol(protocol), Drain: -1, Engine: engine, TLS: secure, Sessions: conns, PoolSize: conns,
				OnRegister: func(net.Addr) { first.Do(registered.Done) },
			}); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
		})
	}
	registered.Wait()
	for asked := bufio.NewScanner(os.Stdin); asked.Scan(); {
		debug.FreeOSMemory() // and collects what is garbage
		anonymous, all := residentSize()
		fmt.Println(int(inUse()), anonymous, all)
	}
	cancel()
	ended.Wait()
	engine.Close()
	os.Exit(0)
}

// residentSize returns how many bytes of the process are in memory: without, and with, the pages
// of files, which are its program mostly.
func residentSize() (anonymous, all int) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kib, _ := strconv.Atoi(fields[1])
		switch fields[0] {
		case "RssAnon:":
			anonymous = kib << 10
		case "VmRSS:":
			all = kib << 10
		}
	}
	return anonymous, all
}

// services is a process that runs them.
type services struct {
	*exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startServices(b testing.TB, n int, relayAddr, local, kind string) *services {
	b.Helper()
	s := &services{Cmd: exec.Command(os.Args[0])} //nolint:gosec // this very program
	s.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s %s %s", servicesOf, n, relayAddr, local, kind))
	in, err := s.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := s.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = s.Wait()
	})
	s.in, s.out = in, bufio.NewReader(out)
	return s
}

// measure returns what the process holds in bytes: what is reachable with the stacks, what is in
// memory without pages of files, and with them.
func (s *services) measure(b testing.TB) (inUse, anonymous, all int) {
	b.Helper()
	if _, err := io.WriteString(s.in, "\n"); err != nil {
		b.Fatal(err)
	}
	line, err := s.out.ReadString('\n')
	if err == nil {
		_, err = fmt.Sscan(line, &inUse, &anonymous, &all)
	}
	if err != nil {
		b.Fatalf("%q: %v", line, err)
	}
	return inUse, anonymous, all
}

// sockets returns how many sockets the process has.
func (s *services) sockets(b testing.TB) (n int) {
	b.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", s.Process.Pid)
	open, err := os.ReadDir(dir)
	if err != nil {
		b.Fatal(err)
	}
	for _, fd := range open {
		if to, err := os.Readlink(dir + "/" + fd.Name()); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

// BenchmarkServices measures a forwarder with 50 idle services beside one with one: what
// is resident, in MB, how many times as much that is, with and without pages of files, and what
// one more service costs in KB, resident and in use.
func BenchmarkServices(b *testing.B) {
	const many = 50
	for _, kind := range []struct{ name, is string }{
		{"multiplex", "multiplex false 0"},
		{"pool", "pool false 0"},
		{"event", "event false 0"},
		{"multiplex/tls", "multiplex true 0"},
		{"multiplex/tls/1session", "multiplex true 1"},
		{"pool/tls", "pool true 0"},
		{"pool/tls/4connections", "pool true 4"},
		{"event/tls", "event true 0"},
	} {
		b.Run(kind.name, func(b *testing.B) {
			r := relaytest.Start(b)
			local := startEcho(b)
			for b.Loop() {
				one, all := startServices(b, 1, r.Addr(), local, kind.is), startServices(b, many, r.Addr(), local, kind.is)
				usedOne, anonOne, residentOne := one.measure(b)
				usedAll, anonAll, residentAll := all.measure(b)
				b.ReportMetric(float64(residentOne)/1e6, "MB/1")
				b.ReportMetric(float64(residentAll)/1e6, "MB/50")
				b.ReportMetric(float64(residentAll)/float64(residentOne), "ratio")
				b.ReportMetric(float64(anonAll)/float64(anonOne), "ratioAnon")
				b.ReportMetric(float64(residentAll-residentOne)/1e3/(many-1), "KB/service")
				b.ReportMetric(float64(usedAll-usedOne)/1e3/(many-1), "KBinUse/service")
				b.ReportMetric(float64(all.sockets(b)-one.sockets(b))/(many-1), "sockets/service")
			}
		})
	}
}
