//go:build lab && linux

package lab_test

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// rawKey gives a lease key that is long enough.
func rawKey(name string) string { return "+lease " + name + strings.Repeat("-", 22) + "\n" }

// Whose port it is, is its own while it is away. Somebody asks for it all the time.
func TestRow36PortHijack(t *testing.T) {
	eachLocal(t, "row36_port-hijack", func(t *testing.T, protocol string) {
		t.Parallel() // it waits, mostly
		const away = 2 * time.Second
		p := newLocalPlay(t)
		state := "--stateDir=" + t.TempDir()
		_, addr := localRelay(t)
		owner, public := localForwarder(t, addr, p.local, protocol, state)
		_, port, err := net.SplitHostPort(public)
		if err != nil {
			t.Fatal(err)
		}
		asked := 0
		ask := func() {
			for _, key := range []string{"", rawKey("thief")} {
				conn := rawRelay(t, addr, key+"+port "+port+"\nevent\nnew\n")
				if got := rawAnswer(t, conn); !strings.HasPrefix(got, "-port-taken ") {
					t.Fatalf("answered with %q, want -port-taken", got)
				}
				rawReset(conn)
				asked++
			}
		}
		ask()
		owner.signal(syscall.SIGKILL)
		<-owner.exited
		for begin := time.Now(); time.Since(begin) < away; rawWait(100 * time.Millisecond) {
			ask()
		}
		begin := time.Now()
		again, publicAgain := localForwarder(t, addr, p.local, protocol, state)
		took := again.logged("registered").Sub(begin)
		ask()
		if publicAgain != public {
			t.Errorf("the owner is at %s, and was at %s", publicAgain, public)
		}
		if took > time.Second {
			t.Errorf("the owner has its port after %v", took)
		}
		record(t, "36", "others ask for a port whose owner is away", "2 raw sockets each 100 ms, with a lease key and without",
			fmt.Sprintf("%d of %d refused with port-taken; the owner has it again %s after its start", asked, asked, ms(took)))
	})
}

// Of what is B's, A gets nothing: neither by its own token, nor without any.
func TestRow43Apart(t *testing.T) {
	const both = "ports=31100-31119"
	d := newDoor(t, "a "+both, "b "+both, "c")
	_, addr := localRelay(t, "--tokens="+d.path)
	b := d.line("b") + rawKey("key") + "+name web\n"
	others := map[string]string{"by another token": d.line("a"), "by a token without ports": d.line("c"), "without a token": ""}
	row := func(name, fault string, test func(t *testing.T) (measured string)) {
		t.Run("row43_apart-"+name+"/any", func(t *testing.T) { record(t, "43", fault, "raw sockets", test(t)) })
	}
	// ended has everybody else claim, and gives how that ends.
	ended := func(t *testing.T, claim string) string {
		t.Helper()
		for who, token := range others {
			if got, end := rawEnd(rawRelay(t, addr, token+claim)); got != "" || end == "hang" {
				t.Errorf("%s: answered with %q and %s, want an end without a byte", who, got, end)
			}
		}
		return fmt.Sprintf("%d claims of others end without a byte, and the owner's is served", len(others))
	}
	served := func(t *testing.T, claim, user net.Conn) {
		t.Helper()
		rawWrite(t, user, "hello")
		if got := rawFull(t, claim, 5); got != "hello" {
			t.Errorf("the owner got %q", got)
		}
	}
	row("pool-id", "the id of another identity's pool", func(t *testing.T) string {
		first := rawRelay(t, addr, d.line("b")+"pool\nnew\n")
		public := net.JoinHostPort("127.0.0.1", rawAnswer(t, first))
		claim := "pool\n" + rawLine(t, first) + "\n"
		served(t, first, rawDial(t, public, ""))
		waits := rawDial(t, public, "")
		measured := ended(t, claim)
		served(t, rawRelay(t, addr, d.line("b")+claim), waits)
		return measured
	})
	row("event-id", "the id of another identity's user", func(t *testing.T) string {
		control := rawRelay(t, addr, d.line("b")+"event\nnew\n")
		user := rawDial(t, net.JoinHostPort("127.0.0.1", rawAnswer(t, control)), "")
		claim := "event\n" + rawLine(t, control) + "\n"
		measured := ended(t, claim)
		served(t, rawRelay(t, addr, d.line("b")+claim), user)
		return measured
	})
	row("lease", "another identity's lease key, name and port", func(t *testing.T) string {
		control := rawRelay(t, addr, b+"event\nnew\n")
		port := rawAnswer(t, control)
		for _, lines := range []string{d.line("a") + rawKey("key"), d.line("a") + "+name web\n", d.line("a") + rawKey("key") + "+name web\n"} {
			conn := rawRelay(t, addr, lines+"event\nnew\n")
			if got := rawAnswer(t, conn); got == port || strings.HasPrefix(got, "-") {
				t.Errorf("%q is answered with %q, want another port than %s", lines, got, port)
			}
			rawReset(conn)
		}
		for lines, want := range map[string]string{
			d.line("a") + rawKey("key") + "+port " + port + "\n": "-port-taken ",
			d.line("a") + "+port " + port + "\n":                 "-port-taken ",
			d.line("c") + rawKey("key") + "+port " + port + "\n": "-forbidden ",
			rawKey("key"): "-unauthorized ",
		} {
			if got := rawAnswer(t, rawRelay(t, addr, lines+"event\nnew\n")); !strings.HasPrefix(got, want) {
				t.Errorf("%q is answered with %q, want %q", lines, got, want)
			}
		}
		user := rawDial(t, net.JoinHostPort("127.0.0.1", port), "")
		served(t, rawRelay(t, addr, d.line("b")+"event\n"+rawLine(t, control)+"\n"), user)
		return "key and name are another lease's, with another port; the port is refused; the owner is served all the while"
	})
}
