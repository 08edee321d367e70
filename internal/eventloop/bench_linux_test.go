package eventloop_test

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/eventloop"
)

// A message of 64 bytes goes to a handler and comes back, on all connections at once.
func BenchmarkPingPong(b *testing.B) {
	for _, connections := range []int{1, 64} {
		b.Run(fmt.Sprintf("%d connections", connections), func(b *testing.B) {
			l := startLoop(b)
			fars := make([]*socket, connections)
			var buf [4096]byte // used by the loop's goroutine only
			for i := range fars {
				near, far := pair(b)
				fars[i] = far
				add(b, l, near, handlerFunc(func(e eventloop.Events) bool {
					if e&eventloop.Readable != 0 {
						if n, _ := unix.Read(near.fd, buf[:]); n > 0 {
							_, _ = unix.Write(near.fd, buf[:n])
						}
					}
					return false
				}))
			}
			fence(b, l)
			message := make([]byte, 64)
			since := time.Now()
			for b.Loop() {
				for _, far := range fars {
					if _, err := unix.Write(far.fd, message); err != nil {
						b.Fatal(err)
					}
				}
				for _, far := range fars {
					for got := 0; got < len(message); {
						n, err := unix.Read(far.fd, message[got:])
						if err == unix.EINTR {
							continue
						}
						if n <= 0 {
							b.Fatalf("reading returns %d, %v", n, err)
						}
						got += n
					}
				}
			}
			b.ReportMetric(float64(time.Since(since).Nanoseconds())/float64(b.N*connections), "ns/message")
		})
	}
}
