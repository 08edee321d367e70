//go:build linux

package page_test

import (
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/seed96252745/relay/internal/conntest"
)

// screenshots is where TestScreenshots puts its pictures. docs/how-to/see-in-a-browser.md
// shows those that this makes:
//
//	go test ./internal/page -run TestScreenshots -screenshots=$PWD/docs/page -samples=75
var (
	screenshots = flag.String("screenshots", "", "folder for the screenshots (default one that is removed)")
	samples     = flag.Int("samples", 3, "how many seconds of traffic the screenshots show")
)

// maxScreenshot keeps the pictures of the docs small.
const maxScreenshot = 150_000

// TestFreshTokenOfRealRelay puts a server online with the token and the lines that the
// page shows.
func TestFreshTokenOfRealRelay(t *testing.T) {
	tokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(tokens, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, "--tokens="+tokens)
	p := openTab(t, w.origin)
	p.waitText("Nothing is online yet")
	p.visit("#/connect")
	p.fill("main form input", "office")
	p.button("main", "Make a token")
	p.waitText("relay.token")
	shown := eval[string](p, "document.querySelector('.fresh').innerText")
	secret := regexp.MustCompile(`echo (\S+) > relay\.token`).FindStringSubmatch(shown)
	pin := regexp.MustCompile(`--tlsPin=\S+`).FindString(shown)
	if secret == nil || pin == "" || !strings.Contains(shown, "--tokenFile=relay.token") {
		t.Fatalf("the page shows %s", shown)
	}
	file := filepath.Join(t.TempDir(), "relay.token")
	if err := os.WriteFile(file, []byte(secret[1]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.forward("db", newServer(t, echo), "--tokenFile="+file, pin)
	p.visit("#/")
	p.waitText("office")
	p.wait("document.querySelector('td.c-state').textContent.startsWith('Up')")
	p.clean()
}

// TestScreenshots takes pictures of a real relay with real traffic, light and dark.
func TestScreenshots(t *testing.T) {
	dir := *screenshots
	if dir == "" {
		dir = t.TempDir()
	} else if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	down := newServer(t, echo)
	_, downPort := w.forward("backup", down)
	ports := []int{}
	for _, name := range []string{"shop", "postgres", "minecraft", "camera", "wiki", "build"} {
		_, port := w.forward(name, newServer(t, answer))
		ports = append(ports, port)
	}
	w.traffic(ports)
	w.user(downPort)
	down.stop()
	for _, scheme := range []string{"light", "dark"} {
		w.pictures(dir, scheme)
	}
}

// pictures takes those of one scheme.
func (w *world) pictures(dir, name string) {
	w.Helper()
	p := openTab(w.T, w.origin, scheme(name), size(1280, 760))
	p.wait("document.querySelectorAll('.rowlink').length === 7")
	p.waitText("connection refused")
	asked := "performance.getEntriesByType('resource').filter(e => e.name.endsWith('/status')).length"
	p.wait(asked + " >= " + strconv.Itoa(*samples))
	for _, view := range []struct{ name, hash, text string }{
		{"tunnels", "#/", "shop"}, {"tunnel", "", "Users now"}, {"ends", "#/ends", "by the"},
	} {
		if view.hash == "" {
			p.button("td", eval[string](p, "[...document.querySelectorAll('.rowlink')].find(a => a.textContent.includes('postgres')).textContent"))
		} else {
			p.visit(view.hash)
		}
		p.waitText(view.text)
		n := eval[int](p, asked)
		p.wait(asked + " > " + strconv.Itoa(n+1))
		picture := ask(p, chromedp.CaptureScreenshot())
		if len(picture) > maxScreenshot {
			w.Errorf("%s-%s.png has %d bytes", view.name, name, len(picture))
		}
		if err := os.WriteFile(filepath.Join(dir, view.name+"-"+name+".png"), picture, 0o644); err != nil {
			w.Fatal(err)
		}
	}
	p.clean()
}

// answer sends as many bytes as it is asked for.
func answer(c net.Conn) {
	for {
		var size uint32
		if err := binary.Read(c, binary.BigEndian, &size); err != nil {
			return
		}
		if _, err := c.Write(make([]byte, size)); err != nil {
			return
		}
	}
}

// traffic has users come and go at all ports until the test ends.
func (w *world) traffic(ports []int) {
	over := make(chan struct{})
	var users sync.WaitGroup
	for i, port := range ports {
		for n := range 2 + 3*i {
			users.Go(func() {
				for round := n; ; round++ {
					select {
					case <-over:
						return
					default:
						w.visit(port, i, round, over)
						select {
						case <-time.After(time.Duration(round*i%5) * 700 * time.Millisecond):
						case <-over:
						}
					}
				}
			})
		}
	}
	w.Cleanup(func() {
		close(over)
		users.Wait()
	})
}

// visit is one connection of a user, who asks for something now and then, and leaves as
// users do.
func (w *world) visit(port, busy, round int, over <-chan struct{}) {
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		<-over // there is less traffic then
		return
	}
	defer c.Close()
	requests := time.NewTicker(time.Duration(60+40*((round+busy)%7)) * time.Millisecond)
	defer requests.Stop()
	for range 20 + 60*(round%5) {
		size := uint32(2000 * (1 + (round*busy)%11))
		if binary.Write(c, binary.BigEndian, size) != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, c, int64(size)); err != nil {
			return
		}
		select {
		case <-requests.C:
		case <-over:
			return
		}
	}
	if round%4 == 3 {
		_ = c.(*net.TCPConn).SetLinger(0) // a reset
	}
}

// TestRealForwarder looks at the page of a forwarder, and ends one of its users there.
func TestRealForwarder(t *testing.T) {
	w := newWorld(t)
	s := newServer(t, echo)
	origin := "127.0.0.1:" + conntest.FreePort(t)
	_, port := w.forward("web", s, "--adminListen="+origin)
	p := openTab(t, "http://"+origin)
	p.waitText("Services")
	p.waitText("127.0.0.1:" + s.port)
	p.wait("document.querySelector('td.c-state').textContent.startsWith('Up')")
	stays, goes := w.user(port), w.user(port)
	p.wait("document.querySelector('td.c-users').textContent === '2'")
	p.click("a.rowlink")
	p.waitText("Accepted in")
	p.wait("document.querySelectorAll('td.c-acts button').length === 2") // there are no bans
	// The one who has sent most stands first.
	w.exchange(goes, "more than the other one")
	p.button("th", "From user")
	p.wait("document.querySelector('td.c-bytes')?.textContent === '28 B'")
	p.button("td", "End")
	p.confirm("is reset", "End user")
	w.reset(goes)
	w.exchange(stays, "still there")
	p.button(".parts", "Last ends")
	p.waitText("Ended by the operator")

	w.relay.kill(t)
	p.wait("document.querySelector('.head .badge').textContent.startsWith('Connecting')")
	p.clean()
}
